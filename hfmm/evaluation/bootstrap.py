"""95 % intervals by resampling groups of rows (the cluster bootstrap; Field and Welsh 2007)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

N_RESAMPLES = 2000
ALPHA = 0.05  # how likely groups that all agree may be, where the share is as far off as its interval says
N_RESAMPLES_SLOW = 200  # each is a whole evaluation of the functional


def bootstrap_ci(
    numerators: np.ndarray, denominators: np.ndarray, groups: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of sum(numerators) / sum(denominators).

    Rows of one group are drawn together, because rows that share a group (a grammar cell, a speaker)
    are not independent. Both arrays have one value a row.

    Where a share is 0 or 1 in all groups, every draw is alike and would say that nothing is uncertain. Such an interval
    reaches as far as the share could lie, with 95 % confidence, for that many groups to agree (the exact bound of
    Clopper and Pearson 1934).
    """
    membership, count = _group_ids(groups)
    draws = _resample_counts(count, N_RESAMPLES, seed)
    sums = np.stack([np.bincount(membership, weights=values) for values in (numerators, denominators)])
    tops, bottoms = draws @ sums[0], draws @ sums[1]
    scores = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.percentile(scores, [2.5, 97.5])
    if low == high and low in (0, 1):
        room = 1 - ALPHA ** (1 / np.count_nonzero(sums[1]))
        low, high = max(0.0, low - room), min(1.0, high + room)
    return float(low), float(high)


def bootstrap_ci_of_score(
    function: Callable[[np.ndarray], float], groups: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """Return an interval of a score that is no quotient of sums, such as a median or a distance.

    It is the 2.5th to the 97.5th percentile of the draws, moved so that their median is the score itself: drawing adds
    noise of its own to a distance between means, which would else leave the score outside. ``function`` maps the
    weight of each row (n,), how often its group was drawn, to the score; NaN, for a draw that has nothing to score,
    is left out.
    """
    membership, count = _group_ids(groups)
    draws = _resample_counts(count, N_RESAMPLES_SLOW, seed)
    low, middle, high = np.nanpercentile([function(draw[membership]) for draw in draws], [2.5, 50, 97.5])
    score = function(np.ones(len(membership)))
    return float(low + score - middle), float(high + score - middle)


def _group_ids(groups: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return the group index of each row (n,), and how many groups there are."""
    _, membership = np.unique(np.asarray(groups), return_inverse=True)
    return membership, int(membership.max()) + 1


@lru_cache(maxsize=1)  # the slices of a metric, and the conditions of a run, share their rows
def _resample_counts(count: int, replicates: int, seed: int) -> np.ndarray:
    """Return how often each of ``count`` groups is drawn (replicates, count)."""
    chances = np.full(count, 1 / count)
    return np.random.default_rng(seed).multinomial(count, chances, size=replicates).astype(float)
