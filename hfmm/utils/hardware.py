"""The hardware and the environment: precision, CPU count, memory, and the record of them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

PACKAGES = ("hfmm", "torch", "transformers", "datasets", "accelerate", "peft", "evaluate", "huggingface_hub")


class Precision(NamedTuple):
    """The precision of training, and why it was chosen."""

    name: Literal["bf16", "fp32"]
    reason: str


def choose_precision(precision: Literal["auto", "bf16", "fp32"]) -> Precision:
    """Return the given precision; for "auto", bf16 autocast if the hardware is fast at it and fp32 otherwise."""
    import torch

    if precision != "auto":
        return Precision(precision, "the recipe sets it")
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
        if major >= 8:
            return Precision("bf16", f"{name} has bf16 tensor cores")
        return Precision("fp32", f"{name} (compute capability {major}.{minor}) has no bf16 tensor cores")
    if torch.backends.mps.is_available():
        return Precision("fp32", "bf16 autocast is not faster on MPS devices")
    capabilities = torch.cpu.get_capabilities()
    for flag, instructions in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if capabilities.get(flag):
            return Precision("bf16", f"the CPU has bf16 matrix instructions ({instructions})")
    return Precision("fp32", "the CPU has no bf16 matrix instructions (AMX or AVX512-BF16)")


def inference_dtype(precision: Literal["auto", "bf16", "fp32"]) -> str:
    """Return the name of the torch dtype for the weights of a model that is only used for inference."""
    return {"bf16": "bfloat16", "fp32": "float32"}[choose_precision(precision).name]


def environment_info(precision: Literal["auto", "bf16", "fp32"]) -> dict[str, Any]:
    """Return hardware, threads, precision and versions for the run record. Host and user names are not recorded."""
    import torch

    chosen = choose_precision(precision)
    return {
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu_name(),
        "threads": torch.get_num_threads(),
        "precision": chosen.name,
        "precision_reason": chosen.reason,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process in MiB, or 0 if the system does not report it."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _commit() -> str | None:
    """Return the commit of the checkout that hfmm runs from, with "-dirty" if it was modified; None for a wheel."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu_name() -> str:
    import torch

    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {available_cpus()} cores"
