"""Share of the questions that are answered exactly, overall and by kind of question.

Case, surrounding whitespace and final punctuation are ignored. Can be loaded by path with
``evaluate.load("exact_match.py")``, without network and without hfmm. ``_answers.py`` and ``_scores.py`` must be in the
same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate
import numpy as np

from ._answers import PredictedAnswers, metric_info, normalize_answer, scores_by_kind
from ._scores import ratio_scores

GREATER_IS_BETTER = True
PERCENT = True
SUMMARY = "questions answered exactly, ignoring case and final punctuation"  # describes the slice "" in a model card

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the exact answers and the questions of each row. The score is the ratio of their sums.

    A prediction is the list of a row's answers or a record that contains it. A reference has the correct ``answers``
    and their ``kinds``. Each kind is a slice. Raises ValueError if answers are missing.
    """
    return scores_by_kind(
        predictions, references, lambda prediction, answer: normalize_answer(prediction) == normalize_answer(answer)
    )


class ExactMatch(evaluate.Metric):
    """The `evaluate` metric: the share of exact answers, overall and by kind."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[list[str]], references: list[dict[str, Any]]) -> dict[str, float]:
        return ratio_scores(row_statistics(predictions, references), overall="exact_match", prefix="exact_match_")
