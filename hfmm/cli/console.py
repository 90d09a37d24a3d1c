"""The confirmation prompt of the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from hfmm.errors import UserError


def confirm_upload(dry_run: bool, yes: bool) -> Callable[[], bool]:
    """Return a function that tells whether to send an upload that was shown to the user.

    It asks the user unless ``dry_run`` or ``yes`` is set, and raises UserError if there is no terminal to ask in.
    """

    def confirm() -> bool:
        if dry_run:
            typer.echo("Nothing was sent: this was a dry run.")
            return False
        if not yes and not sys.stdin.isatty():
            raise UserError("Nothing was sent: there is no terminal to confirm in. Pass --yes to send without asking.")
        return yes or typer.confirm("Send this?")

    return confirm
