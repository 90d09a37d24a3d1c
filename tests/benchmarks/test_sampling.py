"""Where time goes: what a model computes is told apart from what is done around it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.benchmarks import sampling


def pause(seconds: float, file: str) -> None:
    """Sleep in a function that stands in ``file``."""
    scope: dict[str, Any] = {"time": time}
    exec(compile("def work(seconds): time.sleep(seconds)", file, "exec"), scope)
    scope["work"](seconds)


def test_time_in_a_module_counts_and_time_beside_it_does_not() -> None:
    with sampling.Sampler() as sampler:
        pause(0.3, "/anywhere/torch/nn/modules/linear.py")
        pause(0.3, "/anywhere/hfmm/data/icons.py")
    assert sampler.arithmetic == pytest.approx(0.3, abs=0.1)


def test_loading_a_library_of_arithmetic_is_no_arithmetic() -> None:
    with sampling.Sampler() as sampler:
        scope: dict[str, Any] = {"pause": pause}
        code = "def load(): pause(0.2, '/anywhere/torch/nn/modules/linear.py')"
        exec(compile(code, "<frozen importlib._bootstrap>", "exec"), scope)
        scope["load"]()
    assert sampler.arithmetic == 0
