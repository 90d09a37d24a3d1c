from itertools import pairwise

import numpy as np
import pytest

from hfmm.inspection.alignment import dtw_path, token_spans


def cheapest_path_cost(cost: np.ndarray) -> float:
    """Return the cost of the cheapest path, found by trying all paths."""

    def cost_up_to(row: int, column: int) -> float:
        previous = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        costs = [cost_up_to(*cell) for cell in previous if min(cell) >= 0]
        return float(cost[row, column]) + min(costs, default=0.0)

    return cost_up_to(cost.shape[0] - 1, cost.shape[1] - 1)


@pytest.mark.parametrize("seed", range(5))
def test_dtw_path_is_the_cheapest_path(seed: int) -> None:
    cost = np.random.default_rng(seed).standard_normal((4, 6))
    path = dtw_path(cost)
    assert sum(cost[cell] for cell in path) == pytest.approx(cheapest_path_cost(cost))
    assert path[0] == (0, 0) and path[-1] == (3, 5)
    assert all((b[0] - a[0], b[1] - a[1]) in {(0, 1), (1, 0), (1, 1)} for a, b in pairwise(path))


def test_token_span_matches_its_attention() -> None:
    attention = np.full((2, 4, 60), 0.01)
    for token, (start, end) in enumerate([(0, 20), (20, 30), (30, 50), (50, 60)]):
        attention[:, token, start:end] = 1
    for span, expected in zip(token_spans(attention), [(0, 20), (20, 30), (30, 50)], strict=True):
        assert span == pytest.approx(expected, abs=1)
