"""Exact ranks among a million candidates. The scores are never in memory all at once."""

from __future__ import annotations

from tests.benchmarks import ranking
from tests.benchmarks.case import Case

COPY_AND_BLOCK = 1e6 * ranking.WIDTH * 4 / 2**20 + 1024  # MiB: the normalized candidates and a block of scores

CASE = Case(
    title="Exact ranks, a million candidates",
    unit="s",
    sizes={
        "small": {"queries": 1_000, "candidates": 1_000_000},
        "large": {"queries": 10_000, "candidates": 1_000_000},
    },
    tolerance=ranking.TOLERANCE,
    limits={"large": {"MiB over the embeddings": round(1.05 * COPY_AND_BLOCK)}},
    sides=ranking.sides(),
)
