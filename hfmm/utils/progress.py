"""Progress bars with rate and time left, silent when nobody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
StepReporter = Callable[[str, str], None]  # takes a step's name and what to say of it


def is_interactive() -> bool:
    """Tell whether standard error is a terminal, and this the first of the processes that share it."""
    return sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"


def progress_bar(items: Iterable[Item], what: str, total: int | None = None, unit: str = "row") -> Iterator[Item]:
    """Yield ``items`` under a progress bar on standard error."""
    yield from tqdm(items, desc=what, total=total, unit=unit, disable=not is_interactive(), leave=False)
