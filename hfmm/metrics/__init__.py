"""Metrics. Each file is an `evaluate` module that also works as a plain Python module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hfmm import registry
from hfmm.errors import UserError

RowStatistics = Mapping[str, tuple[np.ndarray, np.ndarray]]
WeightedScores = Mapping[str, Callable[[np.ndarray], float]]


def compute(name: str, predictions: Any, references: list[Any]) -> tuple[RowStatistics, WeightedScores]:
    """Return the row statistics and the weighted scores of a metric.

    Row statistics map a slice to per-row numerators and denominators, `(num_rows,)` each. Its score is the ratio of
    their sums. The slice "" is the primary score. Weighted scores are functions of row weights, for scores that are
    not such a ratio. Raises UserError if the metric cannot be computed.
    """
    metric = registry.get("metrics", name)
    try:
        row_statistics: RowStatistics = metric.row_statistics(predictions, references)
        weighted_scores: WeightedScores = (
            metric.weighted_scores(predictions, references) if hasattr(metric, "weighted_scores") else {}
        )
    except ValueError as error:
        raise UserError(f"The metric {name} could not be computed: {error}.") from error
    return row_statistics, weighted_scores


def primary_score(metric: str, predictions: Any, references: list[Any]) -> float:
    """Return the overall score of a metric. Raises UserError if it has none on these rows."""
    row_statistics, weighted_scores = compute(metric, predictions, references)
    if "" in row_statistics:
        numerators, denominators = row_statistics[""]
        return float(numerators.sum() / denominators.sum())
    if "" in weighted_scores:
        return weighted_scores[""](np.ones(len(references)))
    raise UserError(
        f"metrics: {metric} has no overall score on the validation rows. Either it never has one, or no row contains "
        "what it measures. The first entry of `metrics` selects the best epoch, so put another metric first."
    )
