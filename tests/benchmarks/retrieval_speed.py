"""What exact ranks cost over the matrix product that they cannot do without.

    python -m tests.benchmarks.retrieval_speed [--rows 10000] [--repeats 3]

Both sides compare as many queries with as many candidates of 512 dimensions in fp32 by the same blocks, alternately;
the bare side throws its scores away. Each query has 5 relevant candidates.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import numpy as np

from hfmm.metrics import retrieval

WIDTH = 512
RELEVANT = 5


def product(queries: np.ndarray, candidates: np.ndarray) -> None:
    """Compute all the scores, block by block, into one buffer."""
    step = min(retrieval.BLOCK_ROWS, retrieval.BLOCK_FLOATS // len(candidates), len(queries))
    buffer = np.empty((step, len(candidates)), dtype=np.float32)
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        np.matmul(block, candidates.T, out=buffer[: len(block)])


def peak() -> float:
    """Return the peak resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure both sides alternately and print medians, the ratio and the memory over the embeddings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    queries, candidates = (
        generator.standard_normal((arguments.rows, WIDTH), dtype=np.float32) for _ in ("queries", "candidates")
    )
    relevant = list(generator.integers(0, arguments.rows, (arguments.rows, RELEVANT)))
    before = peak()
    seconds: dict[str, list[float]] = {"bare product": [], "exact ranks": []}
    for _ in range(arguments.repeats):
        for name, run in (
            ("bare product", lambda: product(queries, candidates)),
            ("exact ranks", lambda: retrieval.ranks(queries, candidates, relevant)),
        ):
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    bare, ours = (statistics.median(values) for values in seconds.values())
    print(f"{arguments.rows:,} x {arguments.rows:,} x {WIDTH}")
    for name, values in seconds.items():
        print(f"{name:12}  {statistics.median(values):7.2f} s  ({min(values):.2f} to {max(values):.2f})")
    print(f"{'ratio':12}  {ours / bare:7.2f}")
    print(f"{'memory':12}  {peak() - before:7.0f} MiB over the embeddings")


if __name__ == "__main__":
    main()
