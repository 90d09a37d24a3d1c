"""What the voices have said, kept on disk: a build that was killed goes on, and another build starts from there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants

from hfmm.data.common.audio import encode
from hfmm.data.common.tts import engine_version, require_installed, synthesize
from hfmm.utils.files import atomic_file
from hfmm.utils.progress import progress_bar


class SpeechRequest(NamedTuple):
    """A text in a voice."""

    voice: str
    text: str


def synthesize_all(sayings: Iterable[SpeechRequest], num_proc: int = 1) -> None:
    """Have everything said that is not kept yet, ``num_proc`` voices at a time.

    Raises UserError, before anything is said, for a voice that is not installed.
    """
    wanted = dict.fromkeys(sayings)
    require_installed(dict.fromkeys(one.voice for one in wanted))
    missing = [one for one in wanted if not _cache_path(one).is_file()]
    # Threads: the engines leave the interpreter while they work, and one loaded engine serves all.
    with ThreadPoolExecutor(num_proc) as pool:
        for _ in progress_bar(pool.map(_synthesize_to_cache, missing), "speak", len(missing), unit="clip"):
            pass


def load_or_synthesize(saying: SpeechRequest) -> bytes:
    """Return the FLAC file of a text in a voice, said now if it was not before."""
    if not _cache_path(saying).is_file():
        _synthesize_to_cache(saying)
    return _cache_path(saying).read_bytes()


def _synthesize_to_cache(saying: SpeechRequest) -> None:
    with atomic_file(_cache_path(saying)) as temporary:
        temporary.write_bytes(encode(synthesize(*saying))["bytes"])


def _cache_path(saying: SpeechRequest) -> Path:
    key = hashlib.sha256(f"{engine_version(saying.voice)}\n{saying.text}".encode()).hexdigest()
    return Path(constants.HF_HOME) / "hfmm" / "recordings" / saying.voice / f"{key[:32]}.flac"
