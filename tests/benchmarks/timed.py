"""The stretch of a side's work that is timed, and that a profiler can watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

watch: Callable[[], AbstractContextManager[None]] = nullcontext  # opened around every stretch, before its clock


@dataclass
class Stretch:
    """What `timed` found, once it has ended."""

    seconds: float = 0.0


@contextmanager
def timed() -> Iterator[Stretch]:
    """Time the block."""
    found = Stretch()
    with watch():
        begun = time.perf_counter()
        yield found
        found.seconds = time.perf_counter() - begun
