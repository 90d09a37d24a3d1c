"""What the command line prints and asks."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from hfmm.errors import UserError
from hfmm.utils.distributed import is_main_process


def print_step(step: str, text: str) -> None:
    """Print a step's name and what there is to say of it."""
    if not is_main_process():
        return
    first, *rest = text.splitlines()
    typer.echo("\n".join([f"{step:<14} {first}", *(f"{'':<14} {line}" for line in rest)]))


def confirm_upload(dry_run: bool, yes: bool) -> Callable[[], bool]:
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
