"""What exact ranks cost over the matrix product that they cannot do without."""

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
    sides=ranking.sides(asked=1.5),
)
