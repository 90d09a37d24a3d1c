"""Cache of synthesized speech on disk, so that an interrupted build continues and later builds reuse the audio."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from hfmm.data.common.audio import encode
from hfmm.data.common.cache import cache_folder
from hfmm.data.common.tts import engine_version, require_installed, synthesize
from hfmm.utils.files import atomic_file
from hfmm.utils.progress import progress_bar


class SpeechRequest(NamedTuple):
    """A voice, and a text to be spoken in it."""

    voice: str
    text: str


def synthesize_all(requests: Iterable[SpeechRequest], num_proc: int = 1) -> None:
    """Synthesize all requests that are not in the cache yet, ``num_proc`` at a time.

    Raises UserError before the first one if a voice is not installed.
    """
    unique_requests = dict.fromkeys(requests)
    require_installed(dict.fromkeys(request.voice for request in unique_requests))
    missing = [request for request in unique_requests if not _cache_path(request).is_file()]
    # Threads are enough: the engines release the GIL, and all threads share one loaded engine per voice.
    with ThreadPoolExecutor(num_proc) as pool:
        for _ in progress_bar(pool.map(_synthesize_to_cache, missing), "speak", len(missing), unit="clip"):
            pass


def load_or_synthesize(request: SpeechRequest) -> bytes:
    """Return the FLAC file of a request, which is synthesized if it is not in the cache."""
    if not _cache_path(request).is_file():
        _synthesize_to_cache(request)
    return _cache_path(request).read_bytes()


def _synthesize_to_cache(request: SpeechRequest) -> None:
    with atomic_file(_cache_path(request)) as temporary:
        temporary.write_bytes(encode(synthesize(*request))["bytes"])


def _cache_path(request: SpeechRequest) -> Path:
    key = hashlib.sha256(f"{engine_version(request.voice)}\n{request.text}".encode()).hexdigest()
    return cache_folder("recordings") / request.voice / f"{key[:32]}.flac"
