"""Progress bars, shown only to somebody who watches, and the lines that report the steps of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from hfmm.utils.distributed import is_main_process

Item = TypeVar("Item")
StepReporter = Callable[[str, str], None]  # called with the name of a step and its result


def is_interactive() -> bool:
    """Tell whether somebody watches: standard error is a terminal, or this is a notebook, and the process is rank 0."""
    in_notebook = "ipykernel" in sys.modules
    return (sys.stderr.isatty() or in_notebook) and is_main_process()


def print_step(step: str, text: str) -> None:
    """Print the name of a step and its result, on rank 0 only. This is the default `StepReporter`."""
    if is_main_process():
        first, *rest = text.splitlines()
        print("\n".join([f"{step:<14} {first}", *(f"{'':<14} {line}" for line in rest)]), flush=True)


def progress_bar(
    items: Iterable[Item], description: str, total: int | None = None, unit: str = "row"
) -> Iterator[Item]:
    """Yield the items while a progress bar is shown on standard error."""
    yield from tqdm(items, desc=description, total=total, unit=unit, disable=not is_interactive(), leave=False)
