"""How long `hfmm --help` takes, beside a Python that does nothing; `hfmm list` is the larger one."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.timed import timed

TIMES = 5  # of which the quickest counts: others measure what else the machine does


def _quickest(command: list[str]) -> Measured:
    seconds = []
    for _ in range(TIMES):
        with timed() as stretch:
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
        seconds.append(stretch.seconds)
    return Measured(min(seconds))


def hfmm(job: Job) -> Measured:
    """Start the command line."""
    return _quickest(["-m", "hfmm.cli", *job.options["arguments"]])


def python(job: Job) -> Measured:
    """Start Python alone: less is not to be had."""
    return _quickest(["-c", "pass"])


CASE = Case(
    title="Start of the command line",
    unit="s",
    sizes={"small": {"arguments": ["--help"]}, "large": {"arguments": ["list"]}},
    limits={"small": {"value": 0.4}},
    sides=(Side("hfmm", hfmm), Side("python -c pass", python, against="hfmm")),
)
