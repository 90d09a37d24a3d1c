"""What exact ranks cost over the matrix product that they cannot do without.

Both sides compare as many queries with as many candidates in fp32 by the same blocks; the bare side throws its scores
away. Each query has 5 relevant candidates. The ranks of the first queries are checked against a plain sort.
"""

from __future__ import annotations

from typing import Any

from hfmm.hardware import peak_memory_mb
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.timed import timed

WIDTH = 512
RELEVANT = 5
CHECKED = 50  # queries


def _inputs(count: int) -> tuple[Any, Any, list[Any]]:
    import numpy as np

    generator = np.random.default_rng(0)
    queries, candidates = (generator.standard_normal((count, WIDTH), dtype=np.float32) for _ in range(2))
    return queries, candidates, list(generator.integers(0, count, (count, RELEVANT)))


def hfmm(job: Job) -> Measured:
    """Rank with hfmm.metrics.retrieval."""
    from hfmm.metrics import retrieval

    queries, candidates, relevant = _inputs(job.options["rows"])
    before = peak_memory_mb()
    with timed() as stretch:
        found = retrieval.ranks(queries, candidates, relevant)
    over = {"MiB over the embeddings": peak_memory_mb() - before}
    return Measured(
        stretch.seconds, [float(rank) for rank in found[:CHECKED]], 2 * len(queries) * len(queries) * WIDTH, over
    )


def product(job: Job) -> Measured:
    """Compute all scores, block by block, into one buffer; afterwards rank the first queries by a plain sort."""
    import numpy as np

    from hfmm.metrics import retrieval

    queries, candidates, relevant = _inputs(job.options["rows"])
    step = min(retrieval.BLOCK_ROWS, retrieval.BLOCK_FLOATS // len(candidates), len(queries))
    buffer = np.empty((step, len(candidates)), dtype=np.float32)
    with timed() as stretch:
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            np.matmul(block, candidates.T, out=buffer[: len(block)])
    memory = peak_memory_mb()
    candidates = candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    sorted_ranks = []
    for query, right in zip(queries[:CHECKED], relevant, strict=False):
        order = np.argsort(-(candidates @ query), kind="stable")
        sorted_ranks.append(float(np.flatnonzero(np.isin(order, right))[0] + 1))
    return Measured(stretch.seconds, sorted_ranks, 2 * len(queries) * len(queries) * WIDTH, memory_mib=memory)


CASE = Case(
    title="Exact ranks",
    unit="s",
    sizes={"small": {"rows": 10_000}, "large": {"rows": 100_000}},
    sides=(Side("hfmm", hfmm), Side("bare matrix product", product, against="hfmm", asked=1 / 1.5)),
)
