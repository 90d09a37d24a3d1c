"""`hfmm publish` and `hfmm reproduce`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hfmm.cli.console import confirm_upload
from hfmm.errors import UserError
from hfmm.utils import imports
from hfmm.utils.progress import print_step

if TYPE_CHECKING:
    from hfmm.hub.push import RepoTarget

REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Private = Annotated[bool, typer.Option("--private", help="Create a private repository.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, but send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Send without asking.")]


def publish_command(
    source: Annotated[str, typer.Argument(help="A run directory, builtin:<checkpoint>, or metric:<name>.")],
    repo: Annotated[str, typer.Option(help="Repository id, owner/name. The repository is created if it is missing.")],
    private: Private = False,
    adapter_repo: Annotated[
        str | None, typer.Option(help="Also publish the LoRA adapter of the run to this repository.")
    ] = None,
    int8_repo: Annotated[
        str | None,
        typer.Option(help="Also publish the model with int8 weights to this repository. It is smaller, not faster."),
    ] = None,
    revision: Annotated[str, typer.Option(help="The branch to push to.")] = "main",
    license: Annotated[
        str | None, typer.Option(help="License identifier; by default the license of the base model.")
    ] = None,
    allow_unverified: Annotated[
        bool, typer.Option("--allow-unverified", help="Publish even if the verification fails; the card reports it.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Verify a run, push it to the Hub in one commit, then download it and verify it again."""
    from hfmm.hub import publish as publishing
    from hfmm.hub.base_models import builtin_checkpoint_upload
    from hfmm.hub.metric import metric_upload
    from hfmm.run import open_run

    imports.silence_libraries()
    confirm = confirm_upload(dry_run, yes)
    kind, _, name = source.rpartition(":")
    if kind == "metric":
        space = parse_repo_id(repo, "space", private, revision)
        publishing.publish_upload(metric_upload(name, space), Path(), confirm, print_step)
        return
    target = parse_repo_id(repo, "model", private, revision)
    if kind == "builtin":
        publishing.publish_upload(builtin_checkpoint_upload(source, target), Path(), confirm, print_step)
        return
    adapter, int8 = (
        parse_repo_id(extra, "model", private, revision).id if extra else None for extra in (adapter_repo, int8_repo)
    )
    options = publishing.PublishOptions(adapter, int8, license, allow_unverified)
    plan, run_directory = open_run(Path(source))
    publishing.publish(plan, run_directory, target, options, confirm, print_step)


def reproduce_command(
    repo: Annotated[str, typer.Argument(help="Id of a repository that `hfmm publish` pushed, owner/name.")],
    out: Annotated[Path | None, typer.Option(help="The run directory; by default runs/<owner>-<name>.")] = None,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit.")] = None,
) -> None:
    """Run a published recipe again and compare every score with the published one."""
    from hfmm.reproduce import reproduce

    folder = out or Path("runs") / repo.replace("/", "-")
    for line in reproduce(repo, revision, folder, print_step):
        typer.echo(line)


def parse_repo_id(
    repo: str, kind: Literal["model", "dataset", "space"], private: bool, branch: str = "main"
) -> RepoTarget:
    """Return the repository with an id; raises UserError if the id is invalid."""
    from hfmm.hub.push import RepoTarget

    if not REPO.fullmatch(repo):
        raise UserError(
            f"{repo!r} is not a repository id. Write owner/name, with letters, digits, dots, dashes and underscores."
        )
    return RepoTarget(repo, kind, private, branch)
