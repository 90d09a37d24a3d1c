"""95 % intervals by resampling groups of rows (the cluster bootstrap; Field and Welsh 2007)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REPLICATES = 2000


def interval(
    numerators: np.ndarray, denominators: np.ndarray, groups: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of sum(numerators) / sum(denominators).

    Rows of one group are drawn together, because rows that share a group (a grammar cell, a speaker)
    are not independent. Both arrays have one value a row.
    """
    _, membership = np.unique(np.asarray(groups), return_inverse=True)
    count = int(membership.max()) + 1
    sums = np.stack([np.bincount(membership, weights=values, minlength=count) for values in (numerators, denominators)])
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=REPLICATES)
    tops, bottoms = draws @ sums[0], draws @ sums[1]
    scores = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
