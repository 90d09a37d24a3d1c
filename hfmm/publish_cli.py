"""The commands that meet the Hub: `hfmm publish` and `hfmm reproduce`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hfmm import libraries
from hfmm.errors import UserError
from hfmm.hardware import is_main_process

if TYPE_CHECKING:
    from hfmm.publishing.push import Target

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
    from hfmm.publishing import publish as publishing
    from hfmm.publishing.bases import checkpoint_parcel
    from hfmm.publishing.metric_space import metric_parcel
    from hfmm.run import open_run

    libraries.imported()
    ask = asking(dry_run, yes)
    kind, _, name = what.rpartition(":")
    if kind == "metric":
        publishing.publish_parcel(metric_parcel(name, target(repo, "space", private, revision)), Path(), ask, report)
        return
    place = target(repo, "model", private, revision)
    if kind == "builtin":
        publishing.publish_parcel(checkpoint_parcel(what, place), Path(), ask, report)
        return
    adapter, int8 = (target(one, "model", private, revision).id if one else None for one in (adapter_repo, int8_repo))
    wishes = publishing.Wishes(adapter, int8, license, allow_unverified)
    recipe, directory = open_run(Path(what))
    publishing.publish(recipe, directory, place, wishes, ask, report)


def reproduce_command(
    repo: Annotated[str, typer.Argument(help="owner/name of a repository that `hfmm publish` pushed.")],
    out: Annotated[Path | None, typer.Option(help="Where the run is written; by default runs/<owner>-<name>.")] = None,
    revision: Annotated[str | None, typer.Option(help="A tag, branch or commit.")] = None,
) -> None:
    """Run the published recipe again and compare every score with the published one."""
    from hfmm.reproduce import reproduce

    folder = out or Path("runs") / repo.replace("/", "-")
    for line in reproduce(repo, revision, folder, report):
        typer.echo(line)


def target(repo: str, kind: Literal["model", "dataset", "space"], private: bool, branch: str = "main") -> Target:
    """Return the repository of that name; raises UserError for a name that the Hub does not take."""
    from hfmm.publishing.push import Target

    if not REPO.fullmatch(repo):
        raise UserError(
            f"{repo}: a repository is named owner/name, with letters, digits, dots, dashes and underscores."
        )
    return Target(repo, kind, private, branch)


def asking(dry_run: bool, yes: bool) -> Callable[[], bool]:
    """Return what decides, once everything was shown, whether it is sent.

    What it returns raises UserError where it has to ask and there is no terminal.
    """

    def ask() -> bool:
        if dry_run:
            typer.echo("Nothing was sent: this was a dry run.")
            return False
        if not yes and not sys.stdin.isatty():
            raise UserError("Nothing was sent: there is no terminal to ask in. Give --yes.")
        return yes or typer.confirm("Send this?")

    return ask


def report(step: str, text: str) -> None:
    """Print a step's name and what there is to say of it."""
    if not is_main_process():
        return
    first, *rest = text.splitlines()
    typer.echo("\n".join([f"{step:<14} {first}", *(f"{'':<14} {line}" for line in rest)]))
