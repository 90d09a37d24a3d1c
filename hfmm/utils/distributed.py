"""Helpers for distributed runs: rank 0, and synchronization of the processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def is_main_process() -> bool:
    """Tell whether this is rank 0, the only process that writes files and prints."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def main_process_first() -> Iterator[None]:
    """Run the block on rank 0 first, then on the other processes; all of them wait until every process is done."""
    import torch
    from accelerate import PartialState

    # Without `cpu=True`, accelerate does not form a process group for launches on CPUs.
    state = PartialState(cpu=not torch.accelerator.is_available())
    with state.main_process_first():
        yield
    state.wait_for_everyone()


def destroy_process_group() -> None:
    """Destroy the process group. A process that exits without doing so is occasionally aborted."""
    from accelerate import PartialState

    PartialState().destroy_process_group()
