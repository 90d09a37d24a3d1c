"""From repeated measurements to what is reported: medians, paired ratios, utilisation, and whether outputs agree."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of ``values``, and the lowest and highest of them."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def times_faster(ours: Sequence[float], theirs: Sequence[float], is_rate: bool) -> dict[str, float]:
    """Return the spread of how many times faster we are, repeat by repeat: neighbours in time share the machine's mood.

    ``is_rate`` tells rates, which are better high, from seconds.
    """
    pairs = zip(ours, theirs, strict=True)
    return spread([one / other if is_rate else other / one for one, other in pairs])


def utilisation(value: float, flops: float, peak_gflops: Mapping[str, float], is_rate: bool) -> dict[str, float]:
    """Return, for each precision, the share of the machine's matrix peak that the model's arithmetic reaches.

    ``flops`` is what the model needs for one row, after Chowdhery et al. 2022, arXiv:2204.02311, appendix B: what an
    implementation computes beyond that does not count.
    """
    reached = flops * value if is_rate else flops / value
    return {precision: reached / (peak * 1e9) for precision, peak in peak_gflops.items()}


def difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Return how far outputs are apart: numbers relative to the largest of theirs, texts as the share that differ.

    Outputs that are not as many differ wholly, which is 1.
    """
    if len(ours) != len(theirs) or not ours:
        return 1.0
    if isinstance(ours[0], str):
        return float(sum(one != other for one, other in zip(ours, theirs, strict=True)) / len(ours))
    largest = max(abs(other) for other in theirs) or 1.0
    gaps = [abs(one - other) for one, other in zip(ours, theirs, strict=True)]
    # A gap that is no number must not pass: max() would drop it or keep it by its place.
    return max(gaps) / largest if all(gap == gap for gap in gaps) else float("inf")


def summary(runs: Sequence[Mapping[str, Any]], peak_gflops: Mapping[str, float], is_rate: bool) -> Record:
    """Return the record of one side from its repeats."""
    values = [run["value"] for run in runs]
    record: Record = {"status": "measured", "values": values, **spread(values)}
    record["memory_mib"] = round(max(run["memory_mib"] for run in runs))
    record["details"] = {name: statistics.median(run["details"][name] for run in runs) for name in runs[0]["details"]}
    if (flops := runs[0]["flops"]) is not None:
        record["gflop_a_row"] = flops / 1e9
        record["utilisation"] = utilisation(record["median"], flops, peak_gflops, is_rate)
    return record


def agreement(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float, differs: str | None
) -> dict[str, Any] | None:
    """Return whether two runs computed the same thing, or why they cannot; None where nothing was put out."""
    if differs is not None:
        return {"same": None, "because": differs}
    if not ours["outputs"] and not theirs["outputs"]:
        return None
    apart = difference(ours["outputs"], theirs["outputs"])
    return {"same": apart <= tolerance, "difference": apart, "tolerance": tolerance}
