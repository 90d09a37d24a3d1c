"""The sampling profiler distinguishes model arithmetic from other work."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.benchmarks import sampling


def pause(seconds: float, file: str) -> None:
    """Sleep in a function whose code is in ``file``."""
    scope: dict[str, Any] = {"time": time}
    exec(compile("def work(seconds): time.sleep(seconds)", file, "exec"), scope)
    scope["work"](seconds)


def test_only_time_in_torch_modules_counts_as_arithmetic() -> None:
    with sampling.Sampler() as sampler:
        pause(0.3, "/anywhere/torch/nn/modules/linear.py")
        pause(0.3, "/anywhere/hfmm/data/icons.py")
    assert sampler.arithmetic == pytest.approx(0.3, abs=0.1)


def test_importing_torch_does_not_count_as_arithmetic() -> None:
    with sampling.Sampler() as sampler:
        scope: dict[str, Any] = {"pause": pause}
        code = "def load(): pause(0.2, '/anywhere/torch/nn/modules/linear.py')"
        exec(compile(code, "<frozen importlib._bootstrap>", "exec"), scope)
        scope["load"]()
    assert sampler.arithmetic == 0
