"""A sampling profiler of one question: how much of a block of work is model arithmetic?"""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType

PERIOD = 0.01  # seconds
ARITHMETIC = ("/torch/nn/", "/torch/autograd/", "/torch/optim/")  # files that stand on the stack of it
IMPORT = "<frozen importlib"


class Sampler(threading.Thread):
    """Looks at the stack of the thread that made it; the time since the last look goes to what it finds there.

    A module's own Python counts as arithmetic, and so do the loss, the gradient and the optimizer's step. What another
    process does counts as none. Use it as a context: `arithmetic` is then the seconds found.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.watched, self.arithmetic, self.over = threading.get_ident(), 0.0, threading.Event()

    def run(self) -> None:
        last = time.perf_counter()
        while not self.over.wait(PERIOD):
            now = time.perf_counter()
            if is_arithmetic(sys._current_frames().get(self.watched)):
                self.arithmetic += now - last
            last = now

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def is_arithmetic(frame: FrameType | None) -> bool:
    """Tell whether a frame, or one that called it, stands in a file of model arithmetic and computes: loads nothing."""
    found = False
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(IMPORT):
            return False
        found = found or any(part in name for part in ARITHMETIC)
        frame = frame.f_back
    return found
