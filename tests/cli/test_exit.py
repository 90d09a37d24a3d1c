import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hfmm.cli.exit import run_and_exit


@pytest.fixture(autouse=True)
def handler_kept() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def raising(number: int, file: str | int | None) -> Callable[[], None]:
    def command() -> None:
        raise OSError(number, os.strerror(number), file)

    return command


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR])
def test_a_place_that_cannot_be_written_is_named_in_one_paragraph(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_and_exit(raising(number, "runs/mine"))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"hfmm: runs/mine cannot be written or read ({os.strerror(number)}). Give another --out")


def test_a_file_on_the_way_to_a_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "picture.png").touch()
    with pytest.raises(SystemExit):
        run_and_exit((tmp_path / "picture.png" / "run").mkdir)
    assert f"{tmp_path}/picture.png/run cannot be written or read" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "file"), [(errno.ENOENT, "weights"), (errno.EACCES, None), (errno.EACCES, 3)])
def test_what_may_be_a_defect_keeps_its_traceback(number: int, file: str | int | None) -> None:
    with pytest.raises(OSError):
        run_and_exit(raising(number, file))
