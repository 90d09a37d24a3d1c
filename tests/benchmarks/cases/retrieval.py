"""The cost of exact ranks in addition to the matrix product that they need."""

from __future__ import annotations

from tests.benchmarks import ranking
from tests.benchmarks.case import Case

CASE = Case(
    title="Exact ranks",
    unit="s",
    sizes={
        "small": {"queries": 10_000, "candidates": 10_000},
        "large": {"queries": 100_000, "candidates": 100_000},
    },
    tolerance=ranking.TOLERANCE,
    sides=ranking.sides(max_slowdown=1.5),
)
