"""The score tables of a card: one per metric, with a row per slice and a column per baseline."""

from __future__ import annotations

from typing import Any, NamedTuple

from hfmm import registry

OWN_SECTION = "confusion"  # the metric whose classes have a table of their own in the card


class ScoreRow(NamedTuple):
    """The records of one slice."""

    slice: str  # empty for the score of all test rows
    records: dict[str, dict[str, Any]]  # by baseline; the key of the model itself is empty


class ScoreTable(NamedTuple):
    """The results of one metric on the test split."""

    metric: str  # as the card writes it, with spaces
    summary: str  # what the metric measures and which direction is better, as a sentence
    baselines: list[str]  # the columns; the first is the model itself, with an empty name
    rows: list[ScoreRow]  # the score of all rows first


def score_tables(records: list[dict[str, Any]]) -> list[ScoreTable]:
    """Return the table of each metric, the primary metric first.

    Args:
        records: The records of results.json, in the order of the metrics of the recipe.
    """
    metrics = dict.fromkeys(record["metric"] for record in records if record["metric"] != OWN_SECTION)
    return [_score_table(metric, records) for metric in metrics]


def _score_table(metric: str, records: list[dict[str, Any]]) -> ScoreTable:
    slices: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        if record["metric"] == metric and record["split"] == "test":
            slices.setdefault(record["slice"], {})[record["baseline"]] = record
    baselines = list(dict.fromkeys(baseline for by_baseline in slices.values() for baseline in by_baseline))
    rows = sorted((ScoreRow(*item) for item in slices.items()), key=lambda row: row.slice != "")
    return ScoreTable(metric.replace("_", " "), _summary(metric, "" in slices), baselines, rows)


def _summary(metric: str, has_overall_score: bool) -> str:
    """Return what a metric measures, and which direction is better if it has a score for all rows."""
    module = registry.get("metrics", metric)
    summary: str = getattr(module, "SUMMARY", "").rstrip(".")
    if not summary:
        return ""
    direction = f" {'Higher' if module.GREATER_IS_BETTER else 'Lower'} is better." if has_overall_score else ""
    return f"{summary[:1].upper()}{summary[1:]}.{direction}"


def score_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each slice of each metric: its name, and its record for each baseline."""
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        if record["metric"] != OWN_SECTION and record["split"] == "test":
            name = f"{record['metric'].replace('_', ' ')} {record['slice']}".strip()
            rows.setdefault(name, {"name": name})[record["baseline"]] = record
    return list(rows.values())


def format_score(record: dict[str, Any]) -> str:
    """Return the value of a record with its confidence interval, in percent if it is a share."""
    value, low, high = format_score_parts(record)
    return f"{value} ({low} to {high})"


def format_score_parts(record: dict[str, Any]) -> tuple[str, str, str]:
    """Return the value of a record with its unit, and the bounds of its interval, in percent if it is a share."""
    metric = registry.get("metrics", record["metric"])
    percent = getattr(metric, "PERCENT", False)
    is_share = percent if isinstance(percent, bool) else record["slice"] in percent
    numbers = (record["value"], *record["ci95"])
    value, low, high = (f"{100 * number:.1f}" if is_share else f"{number:.3g}" for number in numbers)
    return f"{value}{' %' if is_share else ''}", low, high
