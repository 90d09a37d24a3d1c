"""Progress bars with rate and time left, silent when nobody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Report = Callable[[str, str], None]  # takes a step's name and what to say of it


def watched() -> bool:
    """Tell whether standard error is a terminal, and this the first of the processes that share it."""
    return sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"


def track(items: Iterable[Item], what: str, total: int | None = None, unit: str = "row") -> Iterator[Item]:
    """Yield ``items`` under a progress bar on standard error."""
    yield from tqdm(items, desc=what, total=total, unit=unit, disable=not watched(), leave=False)
