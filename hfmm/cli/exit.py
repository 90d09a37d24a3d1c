"""Exit codes and error messages. A mistake of the user is reported in one paragraph, without a traceback."""

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

# ENOENT is not included: a missing file may be a bug of hfmm, which needs its traceback.
PATH_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)

INTERRUPTED = (
    "Interrupted. No incomplete files are left. Run the same command again to continue, for `hfmm run` with --resume."
)
DISK_IS_FULL = (
    "The disk is full. Free some space and run the same command again with --resume. No incomplete files are left."
)
OUT_DIR_HINT = "Fix the path or its permissions, or pass another --out."


class _KeyboardInterrupted(BaseException):
    """Raised by Ctrl-C. KeyboardInterrupt itself would be caught by click."""


def run_and_exit(command: Callable[[], None]) -> None:
    """Run a command. A mistake of the user exits with status 2, an interruption or a full disk with status 1."""
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
            _exit_with(f"{error.filename} could not be read or written ({error.strerror}). {OUT_DIR_HINT}", 2)
        raise


def _interrupt(signal_number: int, frame: object) -> None:
    raise _KeyboardInterrupted


def _exit_with(message: str, status: int) -> NoReturn:
    if is_main_process():
        typer.echo(f"hfmm: {message}", err=True)
    sys.exit(status)


def _disk_is_full(error: BaseException | None) -> bool:
    # safetensors, torch.save and datasets wrap the OSError in their own types.
    while error is not None:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full or os.strerror(errno.ENOSPC) in str(error) or "PytorchStreamWriter failed" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
