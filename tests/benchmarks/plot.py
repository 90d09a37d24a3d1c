"""The plot of benchmarks.json: how many times faster hfmm is than each peer, with the spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

INCHES_PER_BAR = 0.22


def draw(records: dict[str, Any], path: Path) -> None:
    """Write a PNG with one bar for each peer and size. A red mark shows the target."""
    from matplotlib.figure import Figure

    bars = [
        (f"{record['title']}, {size}: {name}", side, side["asked"] if size == "large" else None)
        for record in records.values()
        for size, size_record in record["sizes"].items()
        for name, side in size_record["sides"].items()
        if "times_faster" in side
    ]
    figure = Figure(figsize=(9, 1 + INCHES_PER_BAR * max(1, len(bars))), layout="constrained")
    axis = figure.subplots()
    for index, (_, side, target) in enumerate(bars):
        ratio = side["times_faster"]
        error = [[ratio["median"] - ratio["low"]], [ratio["high"] - ratio["median"]]]
        axis.barh(index, ratio["median"], xerr=error, color="C0", height=0.7)
        if target is not None:
            axis.plot([target] * 2, [index - 0.4, index + 0.4], color="C3", linewidth=2)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(range(len(bars)), [label for label, *_ in bars], fontsize=8)
    axis.invert_yaxis()
    figure.supxlabel("times faster than the peer, median with lowest and highest (red: target)", fontsize=9)
    figure.savefig(path, dpi=120)
