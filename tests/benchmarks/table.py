"""benchmarks.json as tables: `python -m tests.benchmarks.table` puts what has a target into the README, all beside it.

Each stands between two marks, in `README.md` and in `tests/benchmarks/README.md`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BENCHMARKS = FOLDER / "benchmarks.json"
SHORT, WHOLE = FOLDER.parents[1] / "README.md", FOLDER / "README.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"

ASKED_HEAD = (
    "| case | hfmm | peer | hfmm is faster | target | same result |",
    "|---|---|---|---|---|---|",
)
HEAD = (
    "| case | side | measured | hfmm is faster | target | of the bf16 / fp32 peak | MiB | same result |",
    "|---|---|---|---|---|---|---|---|",
)


def asked(known: dict[str, Any]) -> list[str]:
    """Return the table of what has a target: the peers of large sizes, and the limits of a case."""
    return [*ASKED_HEAD, *(row for one in known.values() for size in one["sizes"] for row in _asked_rows(one, size))]


def lines(known: dict[str, Any]) -> list[str]:
    """Return the table of all cases, the machines under it, then what stands beside the figures."""
    rows = [row for one in known.values() for size in one["sizes"] for row in _rows(one, size)]
    return [*HEAD, *rows, "", *_machines(known), "", *(note for one in known.values() for note in _notes(one))]


def _asked_rows(one: dict[str, Any], size: str) -> Iterator[str]:
    sides, title, unit = one["sizes"][size]["sides"], one["title"], one["unit"]
    for name, side in sides.items():
        if size == "large" and side["asked"] is not None and side["status"] != "measured":
            yield f"| {title} | | {name}: {side['status']} | | {_wanted(side)} | |"
        elif verdict := _asked(side, size):
            ours = f"{_spread(sides[side['against']])} {unit}, {side['against']}"
            peer = f"{_spread(side)} {unit}, {name}"
            faster, same = _spread(side["times_faster"], " x"), _agreement(side.get("agreement"))
            yield f"| {title} | {ours} | {peer} | {faster} | {verdict} | {same} |"
    first, own = next(iter(sides.items()))
    for key, value, limit in _limited(one["sizes"][size], own):
        verdict, what = "reached" if value <= limit else "missed", unit if key == "value" else key
        yield f"| {title} | {_number(value)} {what}, {first} | | | at most {_number(limit)}, {verdict} | |"


def _limited(found: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Yield the name, value and limit of whatever of hfmm's own side is limited."""
    if ours["status"] == "measured":
        values = {"value": ours["median"]} | ours["details"]
        yield from ((key, values[key], limit) for key, limit in found["limits"].items() if key in values)


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


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _spread(found: dict[str, float], unit: str = "") -> str:
    median = f"{_number(found['median'])}{unit}"
    if found["low"] == found["high"]:
        return median
    return f"{median} ({found['low']:.3g} to {found['high']:.3g})"


def _asked(side: dict[str, Any], size: str) -> str:
    if side["asked"] is None or size != "large" or "times_faster" not in side:
        return ""
    reached = "reached" if side["times_faster"]["median"] >= side["asked"] else "missed"
    return f"{_wanted(side)}, {reached}"


def _wanted(side: dict[str, Any]) -> str:
    return f"{side['asked']:g} x" if side["asked"] >= 1 else f"at most {1 / side['asked']:g} x as long"


def _agreement(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["same"] is None:
        because: str = found["because"]
        return because
    verdict = "yes" if found["same"] else "NO"
    return f"{verdict}, {found['difference']:.1g} apart"


def _machines(known: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each machine and day, with the cases measured there."""
    where: dict[str, dict[str, list[str]]] = {}
    for one in known.values():
        for size, found in one["sizes"].items():
            machine = found["machine"]
            peaks = ", ".join(f"{name} {peak:,.0f} GFLOP/s" for name, peak in machine["peak_gflops"].items())
            line = (
                f"- {machine['hardware']}, {machine['threads']} threads, bf16 unit: {machine['bf16_unit']}, "
                f"matrix peak {peaks}, torch {machine['packages']['torch']}, {found['date']}"
            )
            where.setdefault(line, {}).setdefault(one["title"], []).append(size)
    for line, titles in where.items():
        measured = "; ".join(f"{title}, {' and '.join(sizes)}" for title, sizes in titles.items())
        yield f"{line}: {measured}."


def _notes(one: dict[str, Any]) -> Iterator[str]:
    """Yield what was measured beside the figures of a case, all its sides in a line, and how hfmm's stand to limits."""
    for size, found in one["sizes"].items():
        noted = []
        for name, side in found["sides"].items():
            if side["status"] != "measured":
                continue
            mine = [f"{key} {_number(value)}" for key, value in side["details"].items()]
            if side["against"] is None:
                for key, value, limit in _limited(found, side):
                    mine.append(f"{key} {'within' if value <= limit else 'ABOVE'} the limit of {_number(limit)}")
            if mine:
                noted.append(f"{name}: {', '.join(mine)}")
        if noted:
            yield f"- {one['title']}, {size}. {'; '.join(noted)}."


def main() -> None:
    """Replace both tables by those of benchmarks.json."""
    if not BENCHMARKS.is_file():
        sys.exit(f"There is no {BENCHMARKS}. Measure first: python -m tests.benchmarks")
    known = json.loads(BENCHMARKS.read_text(encoding="utf-8"))
    for file, table in ((SHORT, asked(known)), (WHOLE, lines(known))):
        text = file.read_text(encoding="utf-8")
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            sys.exit(f"{file} has no {BEGIN} with {END} after it.")
        body = "\n".join(table)
        file.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
