"""The machine of the figures: its bf16 unit and the speed of its matrix products."""

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
MATRIX_SIZE = 2048  # much larger than the caches
SECONDS = 2.0  # for each library and precision


def describe() -> dict[str, Any]:
    """Return hardware, threads, versions, the bf16 unit and the peak of matrix products, without host or user name."""
    import numpy as np
    import torch

    from hfmm.utils.hardware import environment_info

    capabilities = torch.cpu.get_capabilities()
    units = {"AMX": capabilities.get("amx_bf16"), "AVX512-BF16": capabilities.get("avx512_bf16")}
    description = environment_info("auto")
    description["packages"] |= {name: installed for name in PEERS if (installed := _version(name))}
    description["bf16_unit"] = next((name for name, is_available in units.items() if is_available), "none")
    left, right = torch.randn(MATRIX_SIZE, MATRIX_SIZE), torch.randn(MATRIX_SIZE, MATRIX_SIZE)
    left_bf16, right_bf16 = left.bfloat16(), right.bfloat16()
    description["peak_gflops"] = {
        "bf16": _peak(lambda: torch.mm(left_bf16, right_bf16)),
        # torch and numpy use different libraries in fp32. Which one is faster depends on the processor.
        "fp32": max(_peak(lambda: torch.mm(left, right)), _peak(lambda: np.matmul(left.numpy(), right.numpy()))),
    }
    return description


def _peak(multiply: Callable[[], Any]) -> float:
    """Return the highest rate of a square matrix product, in GFLOP/s."""
    best, end = float("inf"), time.perf_counter() + SECONDS
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - start)
    return round(2 * MATRIX_SIZE**3 / best / 1e9, 1)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps(describe()))
