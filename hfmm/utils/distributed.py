"""The processes of one launch: which of them writes, and who goes first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def is_main_process() -> bool:
    """Tell whether this is the process that writes and speaks; `accelerate launch` starts several."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process do the block before the others do it too; none goes on before all have."""
    import torch
    from accelerate import PartialState

    # Left to itself it takes processes that were launched on bare CPUs for strangers to each other.
    state = PartialState(cpu=not torch.accelerator.is_available())
    with state.main_process_first():
        yield
    state.wait_for_everyone()


def destroy_process_group() -> None:
    """End what processes that were launched together share; one that exits in it is now and then aborted for that."""
    from accelerate import PartialState

    PartialState().destroy_process_group()
