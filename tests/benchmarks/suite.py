"""Cases at their sizes, sides in turn, repeats -> the record of benchmarks.json."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import arithmetic, process
from tests.benchmarks.case import SIZES, Case, Side

Say = Callable[[str], None]


def run_case(
    name: str, case: Case, sizes: Sequence[str], repeats: int, machine: dict[str, Any], checkpoint: str | None, say: Say
) -> dict[str, Any]:
    """Measure a case and return its record; each size in it stands alone: machine and date travel with it."""
    return {
        "title": case.title,
        "unit": case.unit,
        "sizes": {size: _run_size(name, case, size, repeats, machine, checkpoint, say) for size in sizes},
    }


def merged(known: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
    """Return a case's record with what was measured now; of a size that was not, what was known stays."""
    sizes = known.get("sizes", {}) | fresh["sizes"]
    return fresh | {"sizes": {size: sizes[size] for size in SIZES if size in sizes}}


def _run_size(
    name: str, case: Case, size: str, repeats: int, machine: dict[str, Any], checkpoint: str | None, say: Say
) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in case.sides}
    failures: dict[str, str] = {}
    lacking = {side.name: module for side in case.sides if (module := process.missing(side))}
    with tempfile.TemporaryDirectory() as folder:
        try:
            process.measure(name, size, process.PREPARE, Path(folder), machine["threads"], checkpoint)
        except process.Failed as error:
            failures = {side.name: f"prepare: {error}" for side in case.sides}
        for repeat in range(repeats):
            # There and back again, so that a machine that slows down slows no side more than another.
            for side in case.sides if repeat % 2 == 0 else reversed(case.sides):
                if side.name in lacking or side.name in failures:
                    continue
                try:
                    found = process.measure(name, size, side.name, Path(folder), machine["threads"], checkpoint)
                except process.Failed as error:
                    failures[side.name] = str(error)
                    say(f"{name:<20} {size:<6} {side.name:<34} failed: {error}")
                    continue
                runs[side.name].append(found)
                say(f"{name:<20} {size:<6} {side.name:<34} {found['value']:10.3f} {case.unit}")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "checkpoint": Path(checkpoint).name if checkpoint else None,
        "options": dict(case.sizes[size]),  # type: ignore[index]
        "limits": dict(case.limits.get(size, {})),
        "repeats": repeats,
        "sides": {
            side.name: record(case, side, runs, lacking, failures, machine["peak_gflops"]) for side in case.sides
        },
    }


def record(
    case: Case,
    side: Side,
    runs: dict[str, list[dict[str, Any]]],
    lacking: dict[str, str],
    failures: dict[str, str],
    peak_gflops: dict[str, float],
) -> dict[str, Any]:
    """Return what is reported of a side: its figures and how it stands to ours, or that it is missing or failed."""
    base: dict[str, Any] = {"against": side.against, "asked": side.asked}
    if side.name in lacking:
        return base | {"status": "missing", "because": f"{lacking[side.name]} is not installed"}
    if side.name in failures:
        return base | {"status": "failed", "because": failures[side.name]}
    is_rate = case.unit != "s"
    found = base | arithmetic.summary(runs[side.name], peak_gflops, is_rate)
    if side.against is None or side.against in failures or side.against in lacking:
        return found
    ours = [one["value"] for one in runs[side.against]]
    found["times_faster"] = arithmetic.times_faster(ours, found["values"], is_rate)
    if alike := runs[side.alike or side.against]:
        found["agreement"] = arithmetic.agreement(alike[0], runs[side.name][0], case.tolerance, side.differs)
    return found
