"""benchmarks.json as a table; `python -m tests.benchmarks.table` puts it into the README between its two marks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parent / "benchmarks.json"
README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"

HEAD = (
    "| case | side | measured | hfmm is faster | asked | of the bf16 / fp32 peak | MiB | same result |",
    "|---|---|---|---|---|---|---|---|",
)


def lines(known: dict[str, Any]) -> list[str]:
    """Return the table of all cases, the machines under it, then what stands beside the figures."""
    rows = [row for one in known.values() for size in one["sizes"] for row in _rows(one, size)]
    return [*HEAD, *rows, "", *_machines(known), *(note for one in known.values() for note in _notes(one))]


def _rows(one: dict[str, Any], size: str) -> Iterator[str]:
    first = f"{one['title']}, {size}"
    for name, side in one["sizes"][size]["sides"].items():
        if side["status"] != "measured":
            yield f"| {first} | {name} | {side['status']}: {side['because']} | | | | | |"
        else:
            cells = (
                f"{_spread(side)} {one['unit']}",
                _spread(side["times_faster"], " x") if "times_faster" in side else "",
                _asked(side, size),
                " / ".join(f"{100 * share:.0f} %" for share in side.get("utilisation", {}).values()),
                f"{side['memory_mib']:,}",
                _agreement(side.get("agreement")),
            )
            yield f"| {first} | {name} | {' | '.join(cells)} |"
        first = ""


def _spread(found: dict[str, float], unit: str = "") -> str:
    median = f"{found['median']:.3g}{unit}" if found["median"] < 1000 else f"{found['median']:,.0f}{unit}"
    if found["low"] == found["high"]:
        return median
    return f"{median} ({found['low']:.3g} to {found['high']:.3g})"


def _asked(side: dict[str, Any], size: str) -> str:
    if side["asked"] is None or size != "large" or "times_faster" not in side:
        return ""
    reached = "reached" if side["times_faster"]["median"] >= side["asked"] else "missed"
    return f"{side['asked']:g} x, {reached}"


def _agreement(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["same"] is None:
        return found["because"]
    verdict = "yes" if found["same"] else "NO"
    return f"{verdict}, {found['difference']:.1g} apart"


def _machines(known: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each machine and day, with the cases measured there."""
    where: dict[str, list[str]] = {}
    for one in known.values():
        machine = one["machine"]
        peaks = ", ".join(f"{name} {peak:,.0f} GFLOP/s" for name, peak in machine["peak_gflops"].items())
        line = (
            f"{machine['hardware']}, {machine['threads']} threads, bf16 unit: {machine['bf16_unit']}, matrix peak "
            f"{peaks}, torch {machine['packages']['torch']}, {one['date']}"
        )
        where.setdefault(line, []).append(one["title"])
    for line, titles in where.items():
        yield f"{line}: {', '.join(titles)}." if len(where) > 1 else f"{line}."


def _notes(one: dict[str, Any]) -> Iterator[str]:
    """Yield the details of each side, and how hfmm's own stand to the limits of the case."""
    for size, found in one["sizes"].items():
        for name, side in found["sides"].items():
            if side["status"] != "measured":
                continue
            limits = one["limits"].get(size, {}) if side["against"] is None else {}
            values = {"value": side["median"]} | side["details"]
            noted = [f"{key} {value:.3g}" for key, value in side["details"].items()]
            for key, limit in limits.items():
                if key in values:
                    noted.append(f"{key} {'within' if values[key] <= limit else 'ABOVE'} the limit of {limit:g}")
            if noted:
                yield f"\n{one['title']}, {size}, {name}: {', '.join(noted)}."


def main() -> None:
    """Replace the table in the README by that of benchmarks.json."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{README} has no {BEGIN} with {END} after it.")
    if not BENCHMARKS.is_file():
        sys.exit(f"There is no {BENCHMARKS}. Measure first: python -m tests.benchmarks")
    table = "\n".join(lines(json.loads(BENCHMARKS.read_text(encoding="utf-8"))))
    README.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
