import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hfmm.cli.exit import run_and_exit


@pytest.fixture(autouse=True)
def restore_signal_handler() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def command_that_raises(code: int, filename: str | int | None) -> Callable[[], None]:
    def command() -> None:
        raise OSError(code, os.strerror(code), filename)

    return command


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR])
def test_path_error_is_reported_in_one_paragraph(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        run_and_exit(command_that_raises(code, "runs/mine"))
    assert exit_info.value.code == 2
    message = f"hfmm: runs/mine could not be read or written ({os.strerror(code)}). Fix the path or its permissions"
    assert capsys.readouterr().err.startswith(message)


def test_file_in_the_path_of_a_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image.png").touch()
    with pytest.raises(SystemExit):
        run_and_exit((tmp_path / "image.png" / "run").mkdir)
    assert f"{tmp_path}/image.png/run could not be read or written" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "filename"), [(errno.ENOENT, "weights"), (errno.EACCES, None), (errno.EACCES, 3)])
def test_error_that_may_be_a_bug_keeps_its_traceback(code: int, filename: str | int | None) -> None:
    with pytest.raises(OSError):
        run_and_exit(command_that_raises(code, filename))
