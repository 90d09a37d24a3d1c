"""How a command ends: done, or in one paragraph that says what to do; a mistake of the user gives no traceback."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from hfmm.errors import UserError
from hfmm.hardware import is_main_process

# A file that is missing is not among them: that may be a defect, and is to have its traceback.
IN_THE_WAY = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)

INTERRUPTED = "Interrupted. Nothing half-written is left. Run the same command again, for `hfmm run` with --resume."
DISK_IS_FULL = "The disk is full. Make room, then go on with the same command and --resume; what is written is whole."
ANOTHER_PLACE = "Give another --out, or see to what stands in the way there."


class _Interrupted(BaseException):
    """Ctrl-C; KeyboardInterrupt itself would be caught, and answered, by the command-line library."""


def carry_out(command: Callable[[], None]) -> None:
    """Run a command; a mistake of the user ends in one paragraph and status 2, an interruption in status 1."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        command()
    except UserError as error:
        _end(str(error), 2)
    except _Interrupted:
        _end(INTERRUPTED, 1)
    except Exception as error:
        if _disk_is_full(error):
            _end(DISK_IS_FULL, 1)
        if isinstance(error, OSError) and error.errno in IN_THE_WAY and isinstance(error.filename, str):
            _end(f"{error.filename} cannot be written or read ({error.strerror}). {ANOTHER_PLACE}", 2)
        raise


def _interrupt(signal_number: int, frame: object) -> None:
    raise _Interrupted


def _end(message: str, status: int) -> NoReturn:
    if is_main_process():
        typer.echo(f"hfmm: {message}", err=True)
    sys.exit(status)


def _disk_is_full(error: BaseException | None) -> bool:
    # safetensors, torch.save and datasets wrap the system's error in types of their own.
    while error is not None:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or os.strerror(errno.ENOSPC) in str(error) or "PytorchStreamWriter failed" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
