"""What the table of a card shows: each measure under each condition, and how a score is written."""

from __future__ import annotations

from typing import Any

from hfmm import parts


def measures(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each measure that has no table of its own, its name and its record under each condition."""
    rows: dict[str, dict[str, Any]] = {}
    for one in records:
        if one["metric"] != "confusion" and one["split"] == "test":
            name = f"{one['metric'].replace('_', ' ')} {one['group']}".strip()
            rows.setdefault(name, {"name": name})[one["condition"]] = one
    return list(rows.values())


def score(record: dict[str, Any]) -> str:
    """Return a record's value with its interval, in percent where it is a share."""
    value, low, high = written(record)
    return f"{value} ({low} to {high})"


def written(record: dict[str, Any]) -> tuple[str, str, str]:
    """Return a record's value, with its unit, and the bounds of its interval: in percent where it is a share."""
    metric = parts.find("metrics", record["metric"], "statistics", "metrics")
    share = hasattr(metric, "is_share") and metric.is_share(record["group"])
    numbers = (record["value"], *record["ci95"])
    value, low, high = (f"{100 * one:.1f}" if share else f"{one:.3g}" for one in numbers)
    return f"{value}{' %' if share else ''}", low, high
