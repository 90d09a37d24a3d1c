"""What the cases of exact ranks share: embeddings, our ranks of them, and the bare matrix product that ranks need.

Both sides compare as many queries with as many candidates in fp32 by the same blocks; the bare side throws its scores
away. Each query has 5 relevant candidates. The ranks of the first queries are checked against a plain count.
"""

from __future__ import annotations

from typing import Any

from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks.case import Job, Measured, Side
from tests.benchmarks.timed import timed

WIDTH = 512
RELEVANT = 5
CHECKED = 50  # queries
TOLERANCE = 1e-4  # of the largest rank: two ways to sum a cosine differ in its last bit, and a place or two with it


def _inputs(job: Job) -> tuple[Any, Any, list[Any]]:
    import numpy as np

    queries, candidates = job.options["queries"], job.options["candidates"]
    generator = np.random.default_rng(0)
    asked, given = (generator.standard_normal((count, WIDTH), dtype=np.float32) for count in (queries, candidates))
    return asked, given, list(generator.integers(0, candidates, (queries, RELEVANT)))


def _flops(job: Job) -> float:
    return float(2 * job.options["queries"] * job.options["candidates"] * WIDTH)


def hfmm(job: Job) -> Measured:
    """Rank with hfmm.metrics.retrieval."""
    from hfmm.metrics import retrieval

    queries, candidates, relevant = _inputs(job)
    before = peak_memory_mb()
    with timed() as stretch:
        found = retrieval.ranks(queries, candidates, relevant)
    over = {"MiB over the embeddings": peak_memory_mb() - before}
    return Measured(stretch.seconds, [float(rank) for rank in found[:CHECKED]], _flops(job), over)


def product(job: Job) -> Measured:
    """Compute all scores, block by block, into one buffer; afterwards rank the first queries by counting."""
    import numpy as np

    from hfmm.metrics import retrieval

    queries, candidates, relevant = _inputs(job)
    step = min(retrieval.BLOCK_ROWS, retrieval.BLOCK_FLOATS // len(candidates), len(queries))
    buffer = np.empty((step, len(candidates)), dtype=np.float32)
    with timed() as stretch:
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            np.matmul(block, candidates.T, out=buffer[: len(block)])
    memory = peak_memory_mb()
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    counted = []
    for query, right in zip(queries[:CHECKED], relevant, strict=False):
        scores = candidates @ (query / np.linalg.norm(query))
        others = np.delete(scores, right)
        counted.append(1.0 + np.count_nonzero(others >= scores[right].max() - retrieval.TIE_TOLERANCE))
    return Measured(stretch.seconds, counted, _flops(job), memory_mib=memory)


def sides(asked: float | None = None) -> tuple[Side, ...]:
    """Return ours and the bare product; ``asked`` is how many times its time ours may take at most."""
    return (
        Side("hfmm", hfmm),
        Side("bare matrix product", product, against="hfmm", asked=None if asked is None else 1 / asked),
    )
