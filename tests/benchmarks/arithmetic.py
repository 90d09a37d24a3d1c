"""Statistics of repeated measurements: medians, paired ratios, utilization and agreement of outputs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest value."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def times_faster(ours: Sequence[float], theirs: Sequence[float], is_rate: bool) -> dict[str, float]:
    """Return the spread of how many times faster hfmm is than a peer.

    Only values of the same repeat are compared, because the speed of the machine varies over time. ``is_rate``
    distinguishes rates, where higher is better, from seconds.
    """
    pairs = zip(ours, theirs, strict=True)
    return spread([our / their if is_rate else their / our for our, their in pairs])


def utilization(value: float, flops: float, peak_gflops: Mapping[str, float], is_rate: bool) -> dict[str, float]:
    """Return for each precision the share of the machine's matrix peak that the model reaches.

    ``flops`` is what the model needs for one row, after Chowdhery et al. 2022, arXiv:2204.02311, appendix B.
    Additional operations of an implementation do not count.
    """
    flops_per_second = flops * value if is_rate else flops / value
    return {precision: flops_per_second / (peak * 1e9) for precision, peak in peak_gflops.items()}


def difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Return the difference of outputs.

    For numbers it is relative to the largest of ``theirs``. For texts it is the share of texts that differ. Outputs of
    different length have the difference 1.
    """
    if len(ours) != len(theirs) or not ours:
        return 1.0
    if isinstance(ours[0], str):
        return float(sum(our != their for our, their in zip(ours, theirs, strict=True)) / len(ours))
    largest = max(abs(their) for their in theirs) or 1.0
    gaps = [abs(our - their) for our, their in zip(ours, theirs, strict=True)]
    # NaN must not pass. max() would drop it or keep it, depending on its position.
    return max(gaps) / largest if all(gap == gap for gap in gaps) else float("inf")


def summarize(runs: Sequence[Mapping[str, Any]], peak_gflops: Mapping[str, float], is_rate: bool) -> Record:
    """Return the record of one side from its repeats."""
    values = [run["value"] for run in runs]
    record: Record = {"status": "measured", "values": values, **spread(values)}
    record["memory_mib"] = round(max(run["memory_mib"] for run in runs))
    record["details"] = {name: statistics.median(run["details"][name] for run in runs) for name in runs[0]["details"]}
    if (flops := runs[0]["flops"]) is not None:
        record["gflop_a_row"] = flops / 1e9
        record["utilisation"] = utilization(record["median"], flops, peak_gflops, is_rate)
    return record


def agreement(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float, not_comparable: str | None
) -> dict[str, Any] | None:
    """Return whether two runs have the same outputs, or why they are not comparable. None if there are no outputs."""
    if not_comparable is not None:
        return {"same": None, "because": not_comparable}
    if not ours["outputs"] and not theirs["outputs"]:
        return None
    gap = difference(ours["outputs"], theirs["outputs"])
    return {"same": gap <= tolerance, "difference": gap, "tolerance": tolerance}
