"""What this machine is good at: precision, threads, the processes that train together, and the record of them."""

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
    """The arithmetic that training uses, and why it was chosen."""

    name: Literal["bf16", "fp32"]
    reason: str


def choose_precision(wanted: Literal["auto", "bf16", "fp32"]) -> Precision:
    """Return bf16 autocast where the hardware is fast at it and fp32 elsewhere, or what the recipe wants."""
    import torch

    if wanted != "auto":
        return Precision(wanted, "the recipe says so")
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
        if major >= 8:
            return Precision("bf16", f"{name} has bf16 tensor cores")
        return Precision("fp32", f"{name} (compute capability {major}.{minor}) has no bf16 tensor cores")
    if torch.backends.mps.is_available():
        return Precision("fp32", "autocast to bf16 is not faster on this MPS device")
    has = torch.cpu.get_capabilities()
    for flag, unit in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if has.get(flag):
            return Precision("bf16", f"the processor multiplies bf16 matrices in {unit}")
    return Precision("fp32", "the processor has no bf16 matrix unit (AMX or AVX512-BF16)")


def inference_dtype(wanted: Literal["auto", "bf16", "fp32"]) -> str:
    """Return the name of torch's dtype for the weights of a model that only predicts."""
    return {"bf16": "bfloat16", "fp32": "float32"}[choose_precision(wanted).name]


def environment_info(wanted: Literal["auto", "bf16", "fp32"]) -> dict[str, Any]:
    """Return hardware, threads, precision and versions for the run record; no host or user name."""
    import torch

    chosen = choose_precision(wanted)
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
    """Return the most resident memory this process has held, in MiB (0 where the system does not tell)."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def available_cpus() -> int:
    """Return how many processes may prepare data at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _commit() -> str | None:
    """Return the commit of the checkout that hfmm runs from, marked where it was changed; none for a wheel."""
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
