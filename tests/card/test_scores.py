from __future__ import annotations

from typing import Any

from hfmm.card.scores import format_score, score_rows, score_tables


def record(metric: str, value: float, slice_name: str = "", baseline: str = "", split: str = "test") -> dict[str, Any]:
    return {
        "metric": metric,
        "value": value,
        "ci95": [value / 2, value],
        "n": 9,
        "split": split,
        "weights": "tuned",
        "baseline": baseline,
        "slice": slice_name,
    }


RECORDS = [
    record("exact_match", 0.5, "tense"),
    record("exact_match", 0.75),
    record("perplexity", 1.5),
    record("confusion", 1.0, "tense: past"),
    record("exact_match", 0.25, baseline="blank image"),
    record("exact_match", 0.1, split="shapes test"),
]


def test_each_metric_has_a_table_with_the_overall_score_first() -> None:
    exact_match, perplexity = score_tables(RECORDS)
    assert (exact_match.metric, perplexity.metric) == ("exact match", "perplexity")
    assert [row.slice for row in exact_match.rows] == ["", "tense"]
    assert {name: entry["value"] for name, entry in exact_match.rows[0].records.items()} == {
        "": 0.75,
        "blank image": 0.25,
    }


def test_table_has_columns_only_for_baselines_with_scores() -> None:
    exact_match, perplexity = score_tables(RECORDS)
    assert (exact_match.baselines, perplexity.baselines) == (["", "blank image"], [""])


def test_summary_names_the_direction_of_an_overall_score() -> None:
    exact_match, perplexity = score_tables(RECORDS)
    assert exact_match.summary.endswith(". Higher is better.") and exact_match.summary[0].isupper()
    assert perplexity.summary.endswith(". Lower is better.")
    (slices_only,) = score_tables([record("modality_gap", 0.3, "distance")])
    assert slices_only.summary.endswith(".") and "is better" not in slices_only.summary


def test_rows_are_named_by_metric_and_slice() -> None:
    names = [row["name"] for row in score_rows(RECORDS)]
    assert names == ["exact match tense", "exact match", "perplexity"]


def test_shares_are_written_in_percent() -> None:
    assert format_score(record("exact_match", 0.5)) == "50.0 % (25.0 to 50.0)"
    assert format_score(record("perplexity", 1.5)) == "1.5 (0.75 to 1.5)"
