"""The shared parts of the cases of exact ranks: embeddings, hfmm's ranks, and the matrix product that they need.

Both sides compare the same number of queries and candidates in fp32 and in the same blocks. The bare matrix product
discards its scores. Each query has 5 relevant candidates. The ranks of the first queries are compared with a count.
"""

from __future__ import annotations

from typing import Any

from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks.case import Job, Measured, Side
from tests.benchmarks.timed import timed

WIDTH = 512
RELEVANT = 5
NUM_CHECKED = 50  # queries
TOLERANCE = (
    1e-4  # of the largest rank: a cosine depends on the summation order in its last bit, and a rank by one or two
)


def _inputs(job: Job) -> tuple[Any, Any, list[Any]]:
    import numpy as np

    num_queries, num_candidates = job.options["queries"], job.options["candidates"]
    generator = np.random.default_rng(0)
    queries, candidates = (
        generator.standard_normal((count, WIDTH), dtype=np.float32) for count in (num_queries, num_candidates)
    )
    return queries, candidates, list(generator.integers(0, num_candidates, (num_queries, RELEVANT)))


def _flops(job: Job) -> float:
    return float(2 * job.options["queries"] * job.options["candidates"] * WIDTH)


def hfmm(job: Job) -> Measured:
    """Rank with hfmm.metrics.retrieval."""
    from hfmm.metrics import retrieval

    queries, candidates, relevant = _inputs(job)
    memory_before = peak_memory_mb()
    with timed() as timer:
        ranks = retrieval.ranks(queries, candidates, relevant)
    details = {"MiB over the embeddings": peak_memory_mb() - memory_before}
    return Measured(timer.seconds, [float(rank) for rank in ranks[:NUM_CHECKED]], _flops(job), details)


def product(job: Job) -> Measured:
    """Compute all scores block by block into one buffer, then count the ranks of the first queries."""
    import numpy as np

    from hfmm.metrics import retrieval

    queries, candidates, relevant = _inputs(job)
    step = min(retrieval.BLOCK_ROWS, retrieval.BLOCK_FLOATS // len(candidates), len(queries))
    buffer = np.empty((step, len(candidates)), dtype=np.float32)
    with timed() as timer:
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            np.matmul(block, candidates.T, out=buffer[: len(block)])
    memory = peak_memory_mb()
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    ranks = []
    for query, positives in zip(queries[:NUM_CHECKED], relevant, strict=False):
        scores = candidates @ (query / np.linalg.norm(query))
        other_scores = np.delete(scores, positives)
        ranks.append(1.0 + np.count_nonzero(other_scores >= scores[positives].max() - retrieval.TIE_TOLERANCE))
    return Measured(timer.seconds, ranks, _flops(job), memory_mib=memory)


def sides(max_slowdown: float | None = None) -> tuple[Side, ...]:
    """Return both sides. ``max_slowdown`` is the target: how many times as long hfmm may take at most."""
    return (
        Side("hfmm", hfmm),
        Side("bare matrix product", product, against="hfmm", target=None if max_slowdown is None else 1 / max_slowdown),
    )
