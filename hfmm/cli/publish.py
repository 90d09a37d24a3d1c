"""The commands that meet the Hub: `hfmm publish` and `hfmm reproduce`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hfmm.cli.console import confirm_upload, print_step
from hfmm.errors import UserError
from hfmm.utils import imports

if TYPE_CHECKING:
    from hfmm.hub.push import RepoTarget

REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Private = Annotated[bool, typer.Option("--private", help="Make a private repository.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def publish_command(
    what: Annotated[str, typer.Argument(help="A run's folder, builtin:<checkpoint>, or metric:<name>.")],
    repo: Annotated[str, typer.Option(help="owner/name; made where there is none.")],
    private: Private = False,
    adapter_repo: Annotated[str | None, typer.Option(help="owner/name for the run's LoRA adapter as well.")] = None,
    int8_repo: Annotated[
        str | None, typer.Option(help="owner/name for the model with int8 weights as well: smaller, not faster.")
    ] = None,
    revision: Annotated[str, typer.Option(help="The branch.")] = "main",
    license: Annotated[
        str | None, typer.Option(help="A licence identifier, where it is not to be that of the base.")
    ] = None,
    allow_unverified: Annotated[
        bool, typer.Option("--allow-unverified", help="Publish what fails its verification; the card says so.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Verify a run, show what will be sent, push it in one commit, download it by its id and verify it again."""
    from hfmm.hub import publish as publishing
    from hfmm.hub.base_models import builtin_checkpoint_upload
    from hfmm.hub.metric import metric_upload
    from hfmm.run import open_run

    imports.silence_libraries()
    ask = confirm_upload(dry_run, yes)
    kind, _, name = what.rpartition(":")
    if kind == "metric":
        publishing.publish_upload(
            metric_upload(name, parse_repo_id(repo, "space", private, revision)), Path(), ask, print_step
        )
        return
    place = parse_repo_id(repo, "model", private, revision)
    if kind == "builtin":
        publishing.publish_upload(builtin_checkpoint_upload(what, place), Path(), ask, print_step)
        return
    adapter, int8 = (
        parse_repo_id(one, "model", private, revision).id if one else None for one in (adapter_repo, int8_repo)
    )
    wishes = publishing.PublishOptions(adapter, int8, license, allow_unverified)
    plan, run_directory = open_run(Path(what))
    publishing.publish(plan, run_directory, place, wishes, ask, print_step)


def reproduce_command(
    repo: Annotated[str, typer.Argument(help="owner/name of a repository that `hfmm publish` pushed.")],
    out: Annotated[Path | None, typer.Option(help="Where the run is written; by default runs/<owner>-<name>.")] = None,
    revision: Annotated[str | None, typer.Option(help="A tag, branch or commit.")] = None,
) -> None:
    """Run the published recipe again and compare every score with the published one."""
    from hfmm.reproduce import reproduce

    folder = out or Path("runs") / repo.replace("/", "-")
    for line in reproduce(repo, revision, folder, print_step):
        typer.echo(line)


def parse_repo_id(
    repo: str, kind: Literal["model", "dataset", "space"], private: bool, branch: str = "main"
) -> RepoTarget:
    """Return the repository of that name; raises UserError for a name that the Hub does not take."""
    from hfmm.hub.push import RepoTarget

    if not REPO.fullmatch(repo):
        raise UserError(
            f"{repo}: a repository is named owner/name, with letters, digits, dots, dashes and underscores."
        )
    return RepoTarget(repo, kind, private, branch)
