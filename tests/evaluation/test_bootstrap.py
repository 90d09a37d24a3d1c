import numpy as np
import pytest

from hfmm.evaluation.bootstrap import bootstrap_ci, bootstrap_ci_of_score


def test_it_agrees_with_resampling_rows_one_by_one() -> None:
    generator = np.random.default_rng(0)
    hits = generator.integers(0, 2, 120).astype(float)
    groups = [str(index // 3) for index in range(120)]
    scores = []
    for _ in range(3000):
        drawn = generator.integers(0, 40, 40)
        scores.append(np.concatenate([hits[3 * group : 3 * group + 3] for group in drawn]).mean())
    low, high = bootstrap_ci(hits, np.ones(120), groups)
    assert (low, high) == pytest.approx(tuple(np.percentile(scores, [2.5, 97.5])), abs=0.02)


def test_groups_widen_the_interval_when_their_rows_agree() -> None:
    hits = np.repeat(np.random.default_rng(1).integers(0, 2, 40), 10).astype(float)
    alone = bootstrap_ci(hits, np.ones(400), [str(index) for index in range(400)])
    together = bootstrap_ci(hits, np.ones(400), [str(index // 10) for index in range(400)])
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_groups_that_all_agree_leave_the_room_that_chance_leaves_them(right: float) -> None:
    """As far off as the interval reaches, all of the 20 groups would still agree once in twenty times."""
    hits, groups = np.full(60, right), [str(index // 3) for index in range(60)]
    low, high = bootstrap_ci(hits, np.ones(60), groups)
    assert right in (low, high)
    assert (1 - (high - low)) ** 20 == pytest.approx(0.05)


def test_only_groups_with_something_to_score_are_counted_among_those_that_agree() -> None:
    scored = np.array([1.0, 1.0, 0.0, 0.0])
    low, high = bootstrap_ci(scored, scored, ["a", "b", "c", "d"])
    assert high == 1 and low**2 == pytest.approx(0.05)


def test_a_score_that_is_no_share_keeps_the_draws_interval() -> None:
    assert bootstrap_ci(np.full(4, 2.0), np.ones(4), ["a", "b", "c", "d"]) == (2, 2)


def test_the_seed_makes_it_repeatable() -> None:
    hits = np.array([0.0, 1.0, 1.0])
    assert bootstrap_ci(hits, np.ones(3), ["a", "b", "c"], 5) == bootstrap_ci(hits, np.ones(3), ["a", "b", "c"], 5)


def test_a_functional_that_is_a_mean_has_the_interval_of_the_mean() -> None:
    values = np.random.default_rng(2).standard_normal(600)
    groups = [str(index // 3) for index in range(600)]
    low, high = bootstrap_ci_of_score(lambda weights: float(weights @ values / weights.sum()), groups)
    assert (low, high) == pytest.approx(bootstrap_ci(values, np.ones(600), groups), abs=0.03)


def test_rows_of_one_group_have_one_weight_and_as_many_groups_are_drawn_as_there_are() -> None:
    seen: list[np.ndarray] = []

    def watched(weights: np.ndarray) -> float:
        seen.append(weights)
        return 0.0

    bootstrap_ci_of_score(watched, ["a", "b", "a", "c"])
    assert len(seen) == 200 + 1  # and once all rows, for the score itself
    assert all(weights[0] == weights[2] and weights[[0, 1, 3]].sum() == 3 for weights in seen)


def test_a_draw_with_nothing_to_score_is_left_out() -> None:
    def share(weights: np.ndarray) -> float:
        return 1.0 if weights[0] else float("nan")

    assert bootstrap_ci_of_score(share, ["a", "b", "c"]) == (1, 1)


def test_the_seed_makes_the_interval_of_a_functional_repeatable() -> None:
    values = np.random.default_rng(3).standard_normal(20)
    groups = [str(index) for index in range(20)]

    def top(weights: np.ndarray) -> float:
        return float(values[weights > 0].max())

    assert bootstrap_ci_of_score(top, groups, 5) == bootstrap_ci_of_score(top, groups, 5)


def test_the_interval_of_a_distance_holds_the_distance() -> None:
    """Drawn means lie further apart than the means do, so that bare percentiles can miss what they are to surround."""
    vectors = np.random.default_rng(0).standard_normal((40, 64))
    groups = [str(index) for index in range(len(vectors))]

    def length(weights: np.ndarray) -> float:
        return float(np.linalg.norm(weights @ vectors / weights.sum()))

    low, high = bootstrap_ci_of_score(length, groups)
    assert low < length(np.ones(len(vectors))) < high
    draws = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=200)
    assert np.percentile([length(draw) for draw in draws], 2.5) > length(np.ones(len(vectors)))
