"""Medians, ratios, spread, utilisation and agreement, against the plainest way of working them out."""

from __future__ import annotations

import math
import random

import pytest

from tests.benchmarks import arithmetic

PEAKS = {"bf16": 400.0, "fp32": 200.0}


def run(value: float, **other: object) -> dict[str, object]:
    return {"value": value, "outputs": [], "flops": None, "details": {}, "memory_mib": 1.0, **other}


def middle(values: list[float]) -> float:
    inside = sorted(values)
    half = len(inside) // 2
    return inside[half] if len(inside) % 2 else (inside[half - 1] + inside[half]) / 2


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_spread_is_that_of_sorting_by_hand(count: int) -> None:
    values = [random.Random(count).uniform(1, 9) for _ in range(count)]
    ordered = sorted(values)
    assert arithmetic.spread(values) == {"median": middle(values), "low": ordered[0], "high": ordered[-1]}


@pytest.mark.parametrize("is_rate", [True, False])
def test_ratios_are_of_neighbours_in_time_and_say_how_much_faster_ours_is(is_rate: bool) -> None:
    ours, theirs = [10.0, 6.0, 8.0], [5.0, 1.5, 2.0]
    by_hand = [2.0, 4.0, 4.0] if is_rate else [0.5, 0.25, 0.25]
    found = arithmetic.times_faster(ours, theirs, is_rate)
    assert found == {"median": middle(by_hand), "low": min(by_hand), "high": max(by_hand)}


def test_ratios_of_unequal_repeats_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        arithmetic.times_faster([1.0, 2.0], [1.0], True)


def test_utilisation_is_operations_a_second_over_the_peak_for_rates_and_for_seconds() -> None:
    # 50 rows a second of 2 GFLOP are 100 GFLOP/s; 2 GFLOP in a fiftieth of a second are as many.
    as_rate = arithmetic.utilisation(50, 2e9, PEAKS, True)
    as_seconds = arithmetic.utilisation(1 / 50, 2e9, PEAKS, False)
    assert as_rate == pytest.approx({"bf16": 0.25, "fp32": 0.5})
    assert as_seconds == pytest.approx(as_rate)


def test_a_difference_of_numbers_is_relative_to_the_largest_of_theirs() -> None:
    assert arithmetic.difference([1.0, 4.0], [1.0, -5.0]) == pytest.approx(9 / 5)
    assert arithmetic.difference([0.0], [0.0]) == 0


def test_a_difference_of_texts_is_the_share_that_differ() -> None:
    assert arithmetic.difference(["a", "b", "c", "d"], ["a", "x", "c", "y"]) == 0.5


@pytest.mark.parametrize("ours", [[math.nan, 1.0], [1.0, math.nan]])
def test_a_loss_that_is_no_number_never_agrees(ours: list[float]) -> None:
    assert arithmetic.difference(ours, [1.0, 1.0]) == math.inf


@pytest.mark.parametrize("theirs", [[], [1.0, 2.0]])
def test_outputs_that_are_not_as_many_never_agree(theirs: list[float]) -> None:
    found = arithmetic.agreement(run(1, outputs=[1.0]), run(1, outputs=theirs), 0.5, None)
    assert found is not None and not found["same"]


def test_a_difference_within_the_tolerance_is_the_same_result_and_one_beyond_it_is_reported() -> None:
    close = arithmetic.agreement(run(1, outputs=[1.00]), run(1, outputs=[1.01]), 0.02, None)
    apart = arithmetic.agreement(run(1, outputs=[1.00]), run(1, outputs=[1.10]), 0.02, None)
    assert close is not None and apart is not None
    assert close["same"] and not apart["same"]
    assert apart["difference"] == pytest.approx(0.1 / 1.1)


def test_sides_that_cannot_agree_say_why_and_sides_without_outputs_say_nothing() -> None:
    differs = arithmetic.agreement(run(1, outputs=[1.0]), run(1, outputs=[9.0]), 0.02, "other weights")
    assert differs == {"same": None, "because": "other weights"}
    assert arithmetic.agreement(run(1), run(1), 0.02, None) is None


def test_a_summary_holds_medians_of_times_and_details_and_the_most_memory() -> None:
    runs = [
        run(value, memory_mib=memory, flops=1e9, details={"train, s": detail})
        for value, memory, detail in [(30.0, 100.4, 1.0), (10.0, 300.2, 7.0), (20.0, 200.0, 2.0)]
    ]
    found = arithmetic.summary(runs, PEAKS, True)
    assert (found["median"], found["low"], found["high"]) == (20, 10, 30)
    assert found["values"] == [30, 10, 20]
    assert found["memory_mib"] == 300
    assert found["details"] == {"train, s": 2}
    assert found["utilisation"] == pytest.approx({"bf16": 20 / 400, "fp32": 20 / 200})
