"""The picture of benchmarks.json: how many times faster hfmm is than each peer, with spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

INCHES_A_BAR = 0.22


def draw(known: dict[str, Any], path: Path) -> None:
    """Write a PNG with a bar for each peer and size; its target is a mark on it."""
    from matplotlib.figure import Figure

    bars = [
        (f"{one['title']}, {size}: {name}", side, side["asked"] if size == "large" else None)
        for one in known.values()
        for size, found in one["sizes"].items()
        for name, side in found["sides"].items()
        if "times_faster" in side
    ]
    figure = Figure(figsize=(9, 1 + INCHES_A_BAR * max(1, len(bars))), layout="constrained")
    axis = figure.subplots()
    for place, (_, side, asked) in enumerate(bars):
        found = side["times_faster"]
        around = [[found["median"] - found["low"]], [found["high"] - found["median"]]]
        axis.barh(place, found["median"], xerr=around, color="C0", height=0.7)
        if asked is not None:
            axis.plot([asked] * 2, [place - 0.4, place + 0.4], color="C3", linewidth=2)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(range(len(bars)), [label for label, *_ in bars], fontsize=8)
    axis.invert_yaxis()
    figure.supxlabel("times faster than the peer, median with lowest and highest (red: target)", fontsize=9)
    figure.savefig(path, dpi=120)
