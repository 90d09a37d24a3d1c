"""A timer for the measured part of a side. A profiler can observe it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

profiler: Callable[[], AbstractContextManager[None]] = nullcontext  # entered around every timed block


@dataclass
class Timer:
    """The result of `timed`, available after its block has ended."""

    seconds: float = 0.0


@contextmanager
def timed() -> Iterator[Timer]:
    """Time the block."""
    timer = Timer()
    with profiler():
        start = time.perf_counter()
        yield timer
        timer.seconds = time.perf_counter() - start
