"""Progress bars with rate and time left, silent when nobody watches."""

from __future__ import annotations

import logging
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


def quiet_imports() -> None:
    """Keep torchao, which transformers imports where it is there, from telling of each kernel that it cannot use."""
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)


def quiet_libraries() -> None:
    """Let the libraries below speak of errors only, and show their own bars only to a watcher."""
    import datasets
    import huggingface_hub
    import transformers

    huggingface_hub.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    datasets.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not watched():
        huggingface_hub.utils.disable_progress_bars()
        datasets.disable_progress_bars()
