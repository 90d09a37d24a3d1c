from itertools import pairwise

import numpy as np
import pytest

from hfmm.inspection.alignment import dtw_path, token_spans


def naive(cost: np.ndarray) -> float:
    """The least cost of all paths, by trying them all."""

    def least(row: int, column: int) -> float:
        before = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        ways = [least(*cell) for cell in before if min(cell) >= 0]
        return float(cost[row, column]) + min(ways, default=0.0)

    return least(cost.shape[0] - 1, cost.shape[1] - 1)


@pytest.mark.parametrize("seed", range(5))
def test_no_path_is_cheaper_than_the_cheapest(seed: int) -> None:
    cost = np.random.default_rng(seed).standard_normal((4, 6))
    path = dtw_path(cost)
    assert sum(cost[cell] for cell in path) == pytest.approx(naive(cost))
    assert path[0] == (0, 0) and path[-1] == (3, 5)
    assert all((b[0] - a[0], b[1] - a[1]) in {(0, 1), (1, 0), (1, 1)} for a, b in pairwise(path))


def test_a_token_lasts_as_long_as_the_decoder_looks_there() -> None:
    attention = np.full((2, 4, 60), 0.01)
    for token, (begin, end) in enumerate([(0, 20), (20, 30), (30, 50), (50, 60)]):
        attention[:, token, begin:end] = 1
    for (begin, end), wanted in zip(token_spans(attention), [(0, 20), (20, 30), (30, 50)], strict=True):
        assert begin == pytest.approx(wanted[0], abs=1) and end == pytest.approx(wanted[1], abs=1)
