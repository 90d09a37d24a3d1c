"""The machine that figures belong to: what it multiplies matrices with, and how fast."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PEERS = (
    "sentence-transformers", "open_clip_torch", "faster-whisper", "ctranslate2", "trl", "hibari-tts", "torchvision",
    "numpy",
)  # fmt: skip
SIDE = 2048  # of the matrices: far beyond what the caches hold
SECONDS = 2.0  # for which each way is tried


def describe() -> dict[str, Any]:
    """Return hardware, threads, versions, the bf16 unit and the matrix-product peaks; no host or user name."""
    import numpy as np
    import torch

    from hfmm.utils.hardware import environment_info

    has = torch.cpu.get_capabilities()
    units = {"AMX": has.get("amx_bf16"), "AVX512-BF16": has.get("avx512_bf16")}
    found = environment_info("auto")
    found["packages"] |= {name: known for name in PEERS if (known := _version(name))}
    found["bf16_unit"] = next((name for name, there in units.items() if there), "none")
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    halves = left.bfloat16(), right.bfloat16()
    found["peak_gflops"] = {
        "bf16": _peak(lambda: torch.mm(*halves)),
        # Two libraries multiply in fp32 here, and which is the quicker depends on the processor.
        "fp32": max(_peak(lambda: torch.mm(left, right)), _peak(lambda: np.matmul(left.numpy(), right.numpy()))),
    }
    return found


def _peak(multiply: Callable[[], Any]) -> float:
    """Return the best rate of a square matrix product, in GFLOP/s."""
    best, end = float("inf"), time.perf_counter() + SECONDS
    while best == float("inf") or time.perf_counter() < end:
        begun = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - begun)
    return round(2 * SIDE**3 / best / 1e9, 1)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps(describe()))
