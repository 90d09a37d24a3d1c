"""What the voices have said, kept on disk: a build that was killed goes on, and another build starts from there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants

from hfmm.data.audio import encode
from hfmm.data.voices import require, speak, version
from hfmm.progress import track
from hfmm.run_directory import atomic_file


class Saying(NamedTuple):
    """A text in a voice."""

    voice: str
    text: str


def record(sayings: Iterable[Saying], num_proc: int = 1) -> None:
    """Have everything said that is not kept yet, ``num_proc`` voices at a time.

    Raises UserError, before anything is said, for a voice that is not installed.
    """
    wanted = dict.fromkeys(sayings)
    require(dict.fromkeys(one.voice for one in wanted))
    missing = [one for one in wanted if not _file(one).is_file()]
    # Threads: the engines leave the interpreter while they work, and one loaded engine serves all.
    with ThreadPoolExecutor(num_proc) as pool:
        for _ in track(pool.map(_keep, missing), "speak", len(missing), unit="clip"):
            pass


def recorded(saying: Saying) -> bytes:
    """Return the FLAC file of a text in a voice, said now if it was not before."""
    if not _file(saying).is_file():
        _keep(saying)
    return _file(saying).read_bytes()


def _keep(saying: Saying) -> None:
    with atomic_file(_file(saying)) as temporary:
        temporary.write_bytes(encode(speak(*saying))["bytes"])


def _file(saying: Saying) -> Path:
    key = hashlib.sha256(f"{version(saying.voice)}\n{saying.text}".encode()).hexdigest()
    return Path(constants.HF_HOME) / "hfmm" / "recordings" / saying.voice / f"{key[:32]}.flac"
