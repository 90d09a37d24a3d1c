"""Turn row statistics into scores.

The metrics import this module relatively, because `evaluate.load` copies only relative imports along with a metric.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def ratio_scores(
    slices: Mapping[str, tuple[np.ndarray, np.ndarray]], overall: str = "", prefix: str = ""
) -> dict[str, float]:
    """Return the sum of numerators divided by the sum of denominators of each slice.

    The key of the slice "" is ``overall``. The key of any other slice is its name after ``prefix``.
    """
    return {
        f"{prefix}{slice_name}" if slice_name else overall: float(numerators.sum() / denominators.sum())
        for slice_name, (numerators, denominators) in slices.items()
    }
