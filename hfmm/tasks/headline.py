"""The one number by which a stage is judged while it trains: the first metric's, of all validation rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfmm import metrics
from hfmm.errors import UserError


def headline(metric: str, predictions: Any, references: list[Any]) -> float:
    """Return the score of all rows by a metric; raises UserError for one that has none, or none of these rows."""
    slices, functionals = metrics.measure(metric, predictions, references)
    if "" in slices:
        numerators, denominators = slices[""]
        return float(numerators.sum() / denominators.sum())
    if "" in functionals:
        return functionals[""](np.ones(len(references)))
    raise UserError(
        f"metrics: {metric} gives no one score of the validation rows: it has none, or they hold nothing that it "
        "measures. The first of `metrics` tells which epoch is best; put another there, and this one behind it."
    )
