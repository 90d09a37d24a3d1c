"""The startup time of the command line: `hfmm --help` (small), `hfmm list` (large) and a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.timed import timed

REPEATS = 5  # the fastest counts, because the others are affected by other processes of the machine


def _fastest(command: list[str]) -> Measured:
    seconds = []
    for _ in range(REPEATS):
        with timed() as timer:
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
        seconds.append(timer.seconds)
    return Measured(min(seconds))


def hfmm(job: Job) -> Measured:
    """Start the command line of hfmm."""
    return _fastest(["-m", "hfmm.cli", *job.options["arguments"]])


def python(job: Job) -> Measured:
    """Start only Python, which is the lower bound."""
    return _fastest(["-c", "pass"])


CASE = Case(
    title="Start of the command line",
    unit="s",
    sizes={"small": {"arguments": ["--help"]}, "large": {"arguments": ["list"]}},
    limits={"small": {"value": 0.4}},
    sides=(Side("hfmm", hfmm), Side("python -c pass", python, against="hfmm")),
)
