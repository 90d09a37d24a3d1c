"""What the table of a card shows: each measure under each condition, and how a score is written."""

from __future__ import annotations

from typing import Any

from hfmm import registry


def score_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each measure that has no table of its own, its name and its record under each condition."""
    rows: dict[str, dict[str, Any]] = {}
    for one in records:
        if one["metric"] != "confusion" and one["split"] == "test":
            name = f"{one['metric'].replace('_', ' ')} {one['slice']}".strip()
            rows.setdefault(name, {"name": name})[one["baseline"]] = one
    return list(rows.values())


def format_score(record: dict[str, Any]) -> str:
    """Return a record's value with its interval, in percent where it is a share."""
    value, low, high = format_score_parts(record)
    return f"{value} ({low} to {high})"


def format_score_parts(record: dict[str, Any]) -> tuple[str, str, str]:
    """Return a record's value, with its unit, and the bounds of its interval: in percent where it is a share."""
    metric = registry.get("metrics", record["metric"])
    share = hasattr(metric, "is_share") and metric.is_share(record["slice"])
    numbers = (record["value"], *record["ci95"])
    value, low, high = (f"{100 * one:.1f}" if share else f"{one:.3g}" for one in numbers)
    return f"{value}{' %' if share else ''}", low, high
