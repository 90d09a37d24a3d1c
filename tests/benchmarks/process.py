"""One measurement in one new process, so that no side inherits the memory, caches or threads of another."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hfmm.errors import UserError
from tests.benchmarks import case as cases
from tests.benchmarks.case import Job, Side

ROOT = Path(__file__).parents[2]
PREPARE = "prepare"  # the shared work of all sides of a size, done once before any of them is timed


class SideError(UserError):
    """A side failed. The message is the signal that ended it or its last line on stderr."""


def missing_module(side: Side) -> str | None:
    """Return the first module that a side needs and that is not installed."""
    return next((name for name in side.needs if importlib.util.find_spec(name) is None), None)


def describe_machine(threads: int) -> dict[str, Any]:
    """Return `machine.describe` from a process with the number of threads of the benchmarks."""
    description: dict[str, Any] = json.loads(_run(["-m", "tests.benchmarks.machine"], threads).splitlines()[-1])
    return description


def measure(
    case: str, size: str, side: str, prepared: Path, threads: int, checkpoint: str | None = None
) -> dict[str, Any]:
    """Run one side, or `PREPARE`, and return its result. Raises SideError if it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "measured.json"
        arguments = [case, size, side, str(prepared), scratch, str(out), *([checkpoint] if checkpoint else [])]
        _run(["-m", "tests.benchmarks.process", *arguments], threads)
        result: dict[str, Any] = json.loads(out.read_text())
    return result


def environment(threads: int) -> dict[str, str]:
    """Return the environment variables of every side: the number of threads, no GPU and no network."""
    libraries = ("OMP", "MKL", "OPENBLAS")
    settings = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return {f"{library}_NUM_THREADS": str(threads) for library in libraries} | settings


def _run(arguments: list[str], threads: int) -> str:
    variables = os.environ | environment(threads)
    process = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True)
    if process.returncode < 0:
        raise SideError(f"ended by {signal.Signals(-process.returncode).name}, possibly because memory ran out")
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if line.strip()] or [f"status {process.returncode}"]
        raise SideError(lines[-1])
    return process.stdout


def main(name: str, size: str, side: str, prepared: str, scratch: str, out: str, checkpoint: str | None = None) -> None:
    """Run in this process what `measure` requested."""
    case = cases.load(name)
    job = Job(case.sizes[size], Path(prepared), Path(scratch), checkpoint)  # type: ignore[index]
    if side == PREPARE:
        if case.prepare is not None:
            case.prepare(job)
        result = {}
    else:
        result = asdict(case.side(side).run(job))
    Path(out).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
