"""From statistics to scores: what a metric's face returns.

Imported relatively by the metrics themselves, because `evaluate.load` copies only such a file along with one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def ratio_scores(
    name: str, slices: Mapping[str, tuple[np.ndarray, np.ndarray]], between: str = "_"
) -> dict[str, float]:
    """Return the quotient of sums of each slice, under the metric's name and, but for the slice "", the slice's."""
    return {
        f"{name}{between}{group}" if group else name: float(tops.sum() / bottoms.sum())
        for group, (tops, bottoms) in slices.items()
    }
