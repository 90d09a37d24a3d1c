"""A sampling profiler that measures which part of a block is model arithmetic."""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType

PERIOD = 0.01  # seconds
ARITHMETIC = ("/torch/nn/", "/torch/autograd/", "/torch/optim/")  # paths of files whose frames count as arithmetic
IMPORT = "<frozen importlib"


class Sampler(threading.Thread):
    """Samples the stack of the thread that created it, and adds up the time of samples in model arithmetic.

    The Python code of modules counts as arithmetic, and so do the loss, the backward pass and the optimizer step. The
    work of other processes does not count. Use it as a context manager, then read `arithmetic`, in seconds.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.thread_id, self.arithmetic, self.stopped = threading.get_ident(), 0.0, threading.Event()

    def run(self) -> None:
        last = time.perf_counter()
        while not self.stopped.wait(PERIOD):
            now = time.perf_counter()
            if is_arithmetic(sys._current_frames().get(self.thread_id)):
                self.arithmetic += now - last
            last = now

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()


def is_arithmetic(frame: FrameType | None) -> bool:
    """Return whether a frame or one of its callers is in a file of model arithmetic, and no import is running."""
    is_in_torch = False
    while frame is not None:
        filename = frame.f_code.co_filename
        if filename.startswith(IMPORT):
            return False
        is_in_torch = is_in_torch or any(part in filename for part in ARITHMETIC)
        frame = frame.f_back
    return is_in_torch
