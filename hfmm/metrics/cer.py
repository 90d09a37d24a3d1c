"""Character error rate: substituted, inserted and deleted characters as a share of the reference characters.

Can be loaded by path with ``evaluate.load("cer.py")``, without network and without hfmm. ``_edit_rates.py`` and
``_scores.py`` must be in the same folder.
"""

from __future__ import annotations

from typing import Any

import evaluate
import numpy as np

from ._edit_rates import error_rates, metric_info
from ._scores import ratio_scores

GREATER_IS_BETTER = False
PERCENT = True
# Describes the slice "" in a model card.
SUMMARY = "character substitutions, insertions and deletions per reference character, ignoring case and punctuation"

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: list[str], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the edits and reference characters of each row. The score is the ratio of their sums.

    ``references`` have the ``text`` of each row. The slices are those of `wer`. The space between two words is a
    character, so merging two words is an error. Raises ValueError for input that cannot be scored.
    """
    return error_rates(predictions, references, str)


class Cer(evaluate.Metric):
    """The `evaluate` metric, which takes plain strings."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        slices = row_statistics(predictions, [{"text": text} for text in references])
        return ratio_scores(slices, overall="cer", prefix="cer_")
