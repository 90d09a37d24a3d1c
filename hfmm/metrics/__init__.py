"""One metric a file, each an `evaluate` module whose face is a plain function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hfmm import registry
from hfmm.errors import UserError

RowStatistics = Mapping[str, tuple[np.ndarray, np.ndarray]]
WeightedScores = Mapping[str, Callable[[np.ndarray], float]]


def compute(name: str, predictions: Any, references: list[Any]) -> tuple[RowStatistics, WeightedScores]:
    """Return what a metric makes of the predictions: slices, and functions of row weights where it has some.

    A slice is the per-row numerators and denominators whose quotient of sums is its score; the slice "" is the
    metric's headline. Raises UserError where the predictions cannot be measured.
    """
    metric = registry.get("metrics", name)
    try:
        slices: RowStatistics = metric.row_statistics(predictions, references)
        functionals: WeightedScores = (
            metric.weighted_scores(predictions, references) if hasattr(metric, "weighted_scores") else {}
        )
    except ValueError as error:
        raise UserError(f"The metric {name} cannot be measured: {error}.") from error
    return slices, functionals


def primary_score(metric: str, predictions: Any, references: list[Any]) -> float:
    """Return the score of all rows by a metric; raises UserError for one that has none, or none of these rows."""
    slices, functionals = compute(metric, predictions, references)
    if "" in slices:
        numerators, denominators = slices[""]
        return float(numerators.sum() / denominators.sum())
    if "" in functionals:
        return functionals[""](np.ones(len(references)))
    raise UserError(
        f"metrics: {metric} gives no one score of the validation rows: it has none, or they hold nothing that it "
        "measures. The first of `metrics` tells which epoch is best; put another there, and this one behind it."
    )
