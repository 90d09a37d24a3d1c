"""Character error rate: the characters to replace, insert or delete, as a share of the reference's characters.

Loadable by path, ``evaluate.load("cer.py")``, with no network and without hfmm; ``transcripts.py`` and ``quotients.py``
lie beside it.
"""

from __future__ import annotations

from typing import Any

import evaluate
import numpy as np

from ._edit_rates import error_rates, metric_info
from ._scores import ratio_scores

GREATER_IS_BETTER = False
SUMMARY = (
    "characters wrong, missing or too many for each one said, case and punctuation aside"  # the slice "", in words
)

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: list[str], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the per-row edits and reference characters whose quotient of sums is the error rate.

    ``references`` give the ``text`` of each row; the slices are those of `wer`. The space between two words is a
    character, so that words run together count. Raises ValueError for input that cannot be scored.
    """
    return error_rates(predictions, references, str)


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class Cer(evaluate.Metric):
    """The `evaluate` face, of plain strings like the library's own."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return ratio_scores("cer", row_statistics(predictions, [{"text": text} for text in references]))
