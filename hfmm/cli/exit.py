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
from hfmm.utils.distributed import is_main_process

# A file that is missing is not among them: that may be a defect, and is to have its traceback.
PATH_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)

INTERRUPTED = "Interrupted. Nothing half-written is left. Run the same command again, for `hfmm run` with --resume."
DISK_IS_FULL = "The disk is full. Make room, then go on with the same command and --resume; what is written is whole."
OUT_DIR_HINT = "Give another --out, or see to what stands in the way there."


class _KeyboardInterrupted(BaseException):
    """Ctrl-C; KeyboardInterrupt itself would be caught, and answered, by the command-line library."""


def run_and_exit(command: Callable[[], None]) -> None:
    """Run a command; a mistake of the user ends in one paragraph and status 2, an interruption in status 1."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        command()
    except UserError as error:
        _exit_with(str(error), 2)
    except _KeyboardInterrupted:
        _exit_with(INTERRUPTED, 1)
    except Exception as error:
        if _disk_is_full(error):
            _exit_with(DISK_IS_FULL, 1)
        if isinstance(error, OSError) and error.errno in PATH_ERRNOS and isinstance(error.filename, str):
            _exit_with(f"{error.filename} cannot be written or read ({error.strerror}). {OUT_DIR_HINT}", 2)
        raise


def _interrupt(signal_number: int, frame: object) -> None:
    raise _KeyboardInterrupted


def _exit_with(message: str, status: int) -> NoReturn:
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
