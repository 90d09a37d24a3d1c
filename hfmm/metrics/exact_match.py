"""Share of the questions answered exactly, all together and kind by kind.

Case, the whitespace around an answer and the punctuation at its end do not count. Loadable by path,
``evaluate.load("exact_match.py")``, with no network and without hfmm; ``answers.py`` and ``quotients.py``
lie beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate
import numpy as np

from ._answers import PredictedAnswers, metric_info, normalize_answer, scores_by_kind
from ._scores import ratio_scores

GREATER_IS_BETTER = True
SUMMARY = "questions answered exactly, case and final punctuation aside"  # what the slice "" is, for people

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the exact answers and the questions of each row, whose quotient of sums is the share.

    A prediction is the list of a row's answers, or a record that has it; a reference gives the true ``answers`` and
    their ``kinds``, each of which is a slice. Raises ValueError where answers are missing.
    """
    return scores_by_kind(
        predictions, references, lambda given, true: normalize_answer(given) == normalize_answer(true)
    )


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class ExactMatch(evaluate.Metric):
    """The `evaluate` face of `statistics`."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[list[str]], references: list[dict[str, Any]]) -> dict[str, float]:
        return ratio_scores("exact_match", row_statistics(predictions, references))
