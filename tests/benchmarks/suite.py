"""Runs the cases at their sizes, with alternating sides and repeats, and builds the records of benchmarks.json."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import arithmetic, process
from tests.benchmarks.case import SIZES, Case, Side

Report = Callable[[str], None]


def run_case(
    name: str,
    case: Case,
    sizes: Sequence[str],
    repeats: int,
    machine: dict[str, Any],
    checkpoint: str | None,
    report: Report,
) -> dict[str, Any]:
    """Measure a case and return its record. Each size has its own machine and date."""
    return {
        "title": case.title,
        "unit": case.unit,
        "sizes": {size: _run_size(name, case, size, repeats, machine, checkpoint, report) for size in sizes},
    }


def merge_records(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the new record of a case with the old figures of sizes that were not measured again."""
    sizes = old.get("sizes", {}) | new["sizes"]
    return new | {"sizes": {size: sizes[size] for size in SIZES if size in sizes}}


def _run_size(
    name: str, case: Case, size: str, repeats: int, machine: dict[str, Any], checkpoint: str | None, report: Report
) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in case.sides}
    failures: dict[str, str] = {}
    missing_modules = {side.name: module for side in case.sides if (module := process.missing_module(side))}
    with tempfile.TemporaryDirectory() as folder:
        try:
            process.measure(name, size, process.PREPARE, Path(folder), machine["threads"], checkpoint)
        except process.SideError as error:
            failures = {side.name: f"prepare: {error}" for side in case.sides}
        for repeat in range(repeats):
            # The order is reversed in every second repeat, so that a slowdown of the machine affects all sides equally.
            for side in case.sides if repeat % 2 == 0 else reversed(case.sides):
                if side.name in missing_modules or side.name in failures:
                    continue
                try:
                    result = process.measure(name, size, side.name, Path(folder), machine["threads"], checkpoint)
                except process.SideError as error:
                    failures[side.name] = str(error)
                    report(f"{name:<20} {size:<6} {side.name:<34} failed: {error}")
                    continue
                runs[side.name].append(result)
                report(f"{name:<20} {size:<6} {side.name:<34} {result['value']:10.3f} {case.unit}")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "checkpoint": Path(checkpoint).name if checkpoint else None,
        "options": dict(case.sizes[size]),  # type: ignore[index]
        "limits": dict(case.limits.get(size, {})),
        "repeats": repeats,
        "sides": {
            side.name: side_record(case, side, runs, missing_modules, failures, machine["peak_gflops"])
            for side in case.sides
        },
    }


def side_record(
    case: Case,
    side: Side,
    runs: dict[str, list[dict[str, Any]]],
    missing_modules: dict[str, str],
    failures: dict[str, str],
    peak_gflops: dict[str, float],
) -> dict[str, Any]:
    """Return the record of a side: its figures and the comparison with hfmm, or that it is missing or failed."""
    base: dict[str, Any] = {"against": side.against, "asked": side.target}
    if side.name in missing_modules:
        return base | {"status": "missing", "because": f"{missing_modules[side.name]} is not installed"}
    if side.name in failures:
        return base | {"status": "failed", "because": failures[side.name]}
    is_rate = case.unit != "s"
    record = base | arithmetic.summarize(runs[side.name], peak_gflops, is_rate)
    if side.against is None or side.against in failures or side.against in missing_modules:
        return record
    ours = [run["value"] for run in runs[side.against]]
    record["times_faster"] = arithmetic.times_faster(ours, record["values"], is_rate)
    if expected := runs[side.same_outputs_as or side.against]:
        record["agreement"] = arithmetic.agreement(expected[0], runs[side.name][0], case.tolerance, side.not_comparable)
    return record
