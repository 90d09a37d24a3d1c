"""The tables of benchmarks.json. `python -m tests.benchmarks.table` writes them into the README of the benchmarks.

The first table has the figures with a target, the second one has all figures. Each table replaces the text between two
markers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BENCHMARKS = FOLDER / "benchmarks.json"
README = FOLDER / "README.md"
TARGETS, ALL = "targets", "benchmarks"  # the names of the markers

TARGET_HEADER = (
    "| case | hfmm | peer | hfmm is faster | target | same result |",
    "|---|---|---|---|---|---|",
)
FULL_HEADER = (
    "| case | side | measured | hfmm is faster | target | of the bf16 / fp32 peak | MiB | same result |",
    "|---|---|---|---|---|---|---|---|",
)


def split_at_markers(text: str, name: str) -> tuple[str, str, str]:
    """Return the text up to the first marker of a table, the table, and the text from the second marker."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found_begin, rest = text.partition(begin)
    table, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        sys.exit(f"{README} has no {begin} followed by {end}.")
    return before + begin, table, end + after


def target_table(records: dict[str, Any]) -> list[str]:
    """Return the table of all figures with a target: peers at the large size, and limits of a case."""
    rows = (row for record in records.values() for size in record["sizes"] for row in _target_rows(record, size))
    return [*TARGET_HEADER, *rows]


def full_table(records: dict[str, Any]) -> list[str]:
    """Return the table of all cases, followed by the machines and by further details of the cases."""
    rows = [row for record in records.values() for size in record["sizes"] for row in _rows(record, size)]
    details = (line for record in records.values() for line in _detail_lines(record))
    return [*FULL_HEADER, *rows, "", *_machine_lines(records), "", *details]


def _target_rows(record: dict[str, Any], size: str) -> Iterator[str]:
    sides, title, unit = record["sizes"][size]["sides"], record["title"], record["unit"]
    for name, side in sides.items():
        if size == "large" and side["asked"] is not None and side["status"] != "measured":
            yield f"| {title} | | {name}: {side['status']} | | {_target(side)} | |"
        elif verdict := _target_verdict(side, size):
            ours = f"{_spread(sides[side['against']])} {unit}, {side['against']}"
            peer = f"{_spread(side)} {unit}, {name}"
            faster, same = _spread(side["times_faster"], " x"), _agreement(side.get("agreement"))
            yield f"| {title} | {ours} | {peer} | {faster} | {verdict} | {same} |"
    first_name, first_side = next(iter(sides.items()))
    for key, value, limit in _limited_values(record["sizes"][size], first_side):
        verdict, quantity = "reached" if value <= limit else "missed", unit if key == "value" else key
        yield f"| {title} | {_number(value)} {quantity}, {first_name} | | | at most {_number(limit)}, {verdict} | |"


def _limited_values(size_record: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Yield the name, the value and the limit of each limited value of hfmm's side."""
    if ours["status"] == "measured":
        values = {"value": ours["median"]} | ours["details"]
        yield from ((key, values[key], limit) for key, limit in size_record["limits"].items() if key in values)


def _rows(record: dict[str, Any], size: str) -> Iterator[str]:
    first_cell = f"{record['title']}, {size}"
    for name, side in record["sizes"][size]["sides"].items():
        if side["status"] != "measured":
            yield f"| {first_cell} | {name} | {side['status']}: {side['because']} | | | | | |"
        else:
            cells = (
                f"{_spread(side)} {record['unit']}",
                _spread(side["times_faster"], " x") if "times_faster" in side else "",
                _target_verdict(side, size),
                " / ".join(f"{100 * share:.0f} %" for share in side.get("utilisation", {}).values()),
                f"{side['memory_mib']:,}",
                _agreement(side.get("agreement")),
            )
            yield f"| {first_cell} | {name} | {' | '.join(cells)} |"
        first_cell = ""


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _spread(values: dict[str, float], unit: str = "") -> str:
    median = f"{_number(values['median'])}{unit}"
    if values["low"] == values["high"]:
        return median
    return f"{median} ({values['low']:.3g} to {values['high']:.3g})"


def _target_verdict(side: dict[str, Any], size: str) -> str:
    if side["asked"] is None or size != "large" or "times_faster" not in side:
        return ""
    reached = "reached" if side["times_faster"]["median"] >= side["asked"] else "missed"
    return f"{_target(side)}, {reached}"


def _target(side: dict[str, Any]) -> str:
    return f"{side['asked']:g} x" if side["asked"] >= 1 else f"at most {1 / side['asked']:g} x as long"


def _agreement(agreement: dict[str, Any] | None) -> str:
    if agreement is None:
        return ""
    if agreement["same"] is None:
        because: str = agreement["because"]
        return because
    verdict = "yes" if agreement["same"] else "NO"
    return f"{verdict}, {agreement['difference']:.1g} apart"


def _machine_lines(records: dict[str, Any]) -> Iterator[str]:
    """Yield one line for each machine and date, with the cases that were measured there."""
    sizes_by_machine: dict[str, dict[str, list[str]]] = {}
    for record in records.values():
        for size, size_record in record["sizes"].items():
            machine = size_record["machine"]
            peaks = ", ".join(f"{name} {peak:,.0f} GFLOP/s" for name, peak in machine["peak_gflops"].items())
            line = (
                f"- {machine['hardware']}, {machine['threads']} threads, bf16 unit: {machine['bf16_unit']}, "
                f"matrix peak {peaks}, torch {machine['packages']['torch']}, {size_record['date']}"
            )
            sizes_by_machine.setdefault(line, {}).setdefault(record["title"], []).append(size)
    for line, titles in sizes_by_machine.items():
        measured = "; ".join(f"{title}, {' and '.join(sizes)}" for title, sizes in titles.items())
        yield f"{line}: {measured}."


def _detail_lines(record: dict[str, Any]) -> Iterator[str]:
    """Yield one line per size with the further details of all sides, and whether hfmm is within its limits."""
    for size, size_record in record["sizes"].items():
        sides = []
        for name, side in size_record["sides"].items():
            if side["status"] != "measured":
                continue
            details = [f"{key} {_number(value)}" for key, value in side["details"].items()]
            if side["against"] is None:
                for key, value, limit in _limited_values(size_record, side):
                    details.append(f"{key} {'within' if value <= limit else 'ABOVE'} the limit of {_number(limit)}")
            if details:
                sides.append(f"{name}: {', '.join(details)}")
        if sides:
            yield f"- {record['title']}, {size}. {'; '.join(sides)}."


def main() -> None:
    """Replace both tables of the README with those of benchmarks.json."""
    if not BENCHMARKS.is_file():
        sys.exit(f"{BENCHMARKS} does not exist. Measure first: python -m tests.benchmarks")
    records = json.loads(BENCHMARKS.read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    for name, lines in ((TARGETS, target_table(records)), (ALL, full_table(records))):
        before, _, after = split_at_markers(text, name)
        body = "\n".join(lines)
        text = f"{before}\n\n{body}\n\n{after}"
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
