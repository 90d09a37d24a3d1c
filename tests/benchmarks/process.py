"""One measurement, one fresh process: all sides start alike, and none inherits another's memory, caches or threads."""

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
PREPARE = "prepare"  # the work that all sides of a size share, done before any is timed


class Failed(UserError):
    """A side broke off; the message is the signal that ended it, or the last line that it left."""


def missing(side: Side) -> str | None:
    """Return the first module that a side needs and this installation lacks."""
    return next((name for name in side.needs if importlib.util.find_spec(name) is None), None)


def describe_machine(threads: int) -> dict[str, Any]:
    """Return `machine.describe` as a process with the benchmarks' own threads sees it."""
    found: dict[str, Any] = json.loads(_run(["-m", "tests.benchmarks.machine"], threads).splitlines()[-1])
    return found


def measure(
    case: str, size: str, side: str, prepared: Path, threads: int, checkpoint: str | None = None
) -> dict[str, Any]:
    """Run one side, or `PREPARE`, and return what it measured; raises Failed when it breaks off."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "measured.json"
        arguments = [case, size, side, str(prepared), scratch, str(out), *([checkpoint] if checkpoint else [])]
        _run(["-m", "tests.benchmarks.process", *arguments], threads)
        found: dict[str, Any] = json.loads(out.read_text())
    return found


def environment(threads: int) -> dict[str, str]:
    """Return the variables under which every side runs: as many threads, no GPU, no network."""
    libraries = ("OMP", "MKL", "OPENBLAS")
    quiet = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return {f"{library}_NUM_THREADS": str(threads) for library in libraries} | quiet


def _run(arguments: list[str], threads: int) -> str:
    variables = os.environ | environment(threads)
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True)
    if done.returncode < 0:
        raise Failed(f"ended by {signal.Signals(-done.returncode).name}, as where memory has run out")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
        raise Failed(lines[-1])
    return done.stdout


def main(name: str, size: str, side: str, prepared: str, scratch: str, out: str, checkpoint: str | None = None) -> None:
    """Do in this process what `measure` asked for."""
    case = cases.load(name)
    job = Job(case.sizes[size], Path(prepared), Path(scratch), checkpoint)  # type: ignore[index]
    if side == PREPARE:
        if case.prepare is not None:
            case.prepare(job)
        measured = {}
    else:
        measured = asdict(case.side(side).run(job))
    Path(out).write_text(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
