"""Medians, ratios, spread, utilization and agreement, compared with simple implementations."""

from __future__ import annotations

import math
import random

import pytest

from tests.benchmarks import arithmetic

PEAKS = {"bf16": 400.0, "fp32": 200.0}


def make_run(value: float, **fields: object) -> dict[str, object]:
    return {"value": value, "outputs": [], "flops": None, "details": {}, "memory_mib": 1.0, **fields}


def median(values: list[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_spread_equals_that_of_the_sorted_values(count: int) -> None:
    values = [random.Random(count).uniform(1, 9) for _ in range(count)]
    ordered = sorted(values)
    assert arithmetic.spread(values) == {"median": median(values), "low": ordered[0], "high": ordered[-1]}


@pytest.mark.parametrize("is_rate", [True, False])
def test_ratios_compare_runs_of_the_same_repeat(is_rate: bool) -> None:
    ours, theirs = [10.0, 6.0, 8.0], [5.0, 1.5, 2.0]
    expected = [2.0, 4.0, 4.0] if is_rate else [0.5, 0.25, 0.25]
    ratio = arithmetic.times_faster(ours, theirs, is_rate)
    assert ratio == {"median": median(expected), "low": min(expected), "high": max(expected)}


def test_ratios_of_different_numbers_of_repeats_are_rejected() -> None:
    with pytest.raises(ValueError, match="shorter"):
        arithmetic.times_faster([1.0, 2.0], [1.0], True)


def test_utilization_is_flops_per_second_divided_by_the_peak() -> None:
    # 50 rows per second with 2 GFLOP each are 100 GFLOP/s, and so are 2 GFLOP in 1/50 s.
    of_rate = arithmetic.utilization(50, 2e9, PEAKS, True)
    of_seconds = arithmetic.utilization(1 / 50, 2e9, PEAKS, False)
    assert of_rate == pytest.approx({"bf16": 0.25, "fp32": 0.5})
    assert of_seconds == pytest.approx(of_rate)


def test_the_difference_of_numbers_is_relative_to_the_peers_largest() -> None:
    assert arithmetic.difference([1.0, 4.0], [1.0, -5.0]) == pytest.approx(9 / 5)
    assert arithmetic.difference([0.0], [0.0]) == 0


def test_the_difference_of_texts_is_the_share_that_differ() -> None:
    assert arithmetic.difference(["a", "b", "c", "d"], ["a", "x", "c", "y"]) == 0.5


@pytest.mark.parametrize("ours", [[math.nan, 1.0], [1.0, math.nan]])
def test_a_nan_loss_never_agrees(ours: list[float]) -> None:
    assert arithmetic.difference(ours, [1.0, 1.0]) == math.inf


@pytest.mark.parametrize("theirs", [[], [1.0, 2.0]])
def test_outputs_of_different_length_never_agree(theirs: list[float]) -> None:
    agreement = arithmetic.agreement(make_run(1, outputs=[1.0]), make_run(1, outputs=theirs), 0.5, None)
    assert agreement is not None and not agreement["same"]


def test_outputs_agree_if_their_difference_is_within_the_tolerance() -> None:
    close = arithmetic.agreement(make_run(1, outputs=[1.00]), make_run(1, outputs=[1.01]), 0.02, None)
    far = arithmetic.agreement(make_run(1, outputs=[1.00]), make_run(1, outputs=[1.10]), 0.02, None)
    assert close is not None and far is not None
    assert close["same"] and not far["same"]
    assert far["difference"] == pytest.approx(0.1 / 1.1)


def test_incomparable_sides_have_a_reason_and_no_outputs_no_agreement() -> None:
    agreement = arithmetic.agreement(make_run(1, outputs=[1.0]), make_run(1, outputs=[9.0]), 0.02, "other weights")
    assert agreement == {"same": None, "because": "other weights"}
    assert arithmetic.agreement(make_run(1), make_run(1), 0.02, None) is None


def test_a_summary_has_medians_and_the_maximum_of_memory() -> None:
    runs = [
        make_run(value, memory_mib=memory, flops=1e9, details={"train, s": detail})
        for value, memory, detail in [(30.0, 100.4, 1.0), (10.0, 300.2, 7.0), (20.0, 200.0, 2.0)]
    ]
    record = arithmetic.summarize(runs, PEAKS, True)
    assert (record["median"], record["low"], record["high"]) == (20, 10, 30)
    assert record["values"] == [30, 10, 20]
    assert record["memory_mib"] == 300
    assert record["details"] == {"train, s": 2}
    assert record["utilisation"] == pytest.approx({"bf16": 20 / 400, "fp32": 20 / 200})
