import numpy as np
import pytest

from hfmm.metrics.bootstrap import interval


def test_it_agrees_with_resampling_rows_one_by_one() -> None:
    generator = np.random.default_rng(0)
    hits = generator.integers(0, 2, 120).astype(float)
    groups = [str(index // 3) for index in range(120)]
    scores = []
    for _ in range(3000):
        drawn = generator.integers(0, 40, 40)
        scores.append(np.concatenate([hits[3 * one : 3 * one + 3] for one in drawn]).mean())
    low, high = interval(hits, np.ones(120), groups)
    assert (low, high) == pytest.approx(tuple(np.percentile(scores, [2.5, 97.5])), abs=0.02)


def test_groups_widen_the_interval_when_their_rows_agree() -> None:
    hits = np.repeat(np.random.default_rng(1).integers(0, 2, 40), 10).astype(float)
    alone = interval(hits, np.ones(400), [str(index) for index in range(400)])
    together = interval(hits, np.ones(400), [str(index // 10) for index in range(400)])
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_the_seed_makes_it_repeatable() -> None:
    hits = np.array([0.0, 1.0, 1.0])
    assert interval(hits, np.ones(3), ["a", "b", "c"], 5) == interval(hits, np.ones(3), ["a", "b", "c"], 5)
