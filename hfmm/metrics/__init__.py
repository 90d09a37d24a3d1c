"""One metric a file, each an `evaluate` module whose face is a plain function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hfmm import parts
from hfmm.errors import UserError

Slices = Mapping[str, tuple[np.ndarray, np.ndarray]]
Functionals = Mapping[str, Callable[[np.ndarray], float]]


def measure(name: str, predictions: Any, references: list[Any]) -> tuple[Slices, Functionals]:
    """Return what a metric makes of the predictions: slices, and functions of row weights where it has some.

    A slice is the per-row numerators and denominators whose quotient of sums is its score; the slice "" is the
    metric's headline. Raises UserError where the predictions cannot be measured.
    """
    metric = parts.find("metrics", name, "statistics", "metrics")
    try:
        slices: Slices = metric.statistics(predictions, references)
        functionals: Functionals = metric.functionals(predictions, references) if hasattr(metric, "functionals") else {}
    except ValueError as error:
        raise UserError(f"The metric {name} cannot be measured: {error}.") from error
    return slices, functionals
