"""Mean word F1 of the answers, overall and by kind of question (Rajpurkar et al. 2016, arXiv:1606.05250).

Words are separated by whitespace. Case, surrounding whitespace and final punctuation are ignored. Articles count,
unlike in SQuAD, because they are part of the grammar. Can be loaded by path with ``evaluate.load("token_f1.py")``,
without network and without hfmm. ``_answers.py`` and ``_scores.py`` must be in the same folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import evaluate
import numpy as np

from ._answers import PredictedAnswers, metric_info, normalize_answer, scores_by_kind
from ._scores import ratio_scores

GREATER_IS_BETTER = True
PERCENT = True
SUMMARY = (
    "F1 of the words of predicted and correct answer, mean over questions"  # describes the slice "" in a model card
)

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the summed F1 and the number of questions of each row. The ratio of the sums is the mean.

    A prediction is the list of a row's answers or a record that contains it. A reference has the correct ``answers``
    and their ``kinds``. Each kind is a slice. Raises ValueError if answers are missing.
    """
    return scores_by_kind(predictions, references, _f1)


def _f1(prediction: str, answer: str) -> float:
    """Return twice the number of shared words, with multiplicity, divided by the total number of words."""
    predicted_words, words = Counter(normalize_answer(prediction).split()), Counter(normalize_answer(answer).split())
    count = predicted_words.total() + words.total()
    return 2 * (predicted_words & words).total() / count if count else 1.0


class TokenF1(evaluate.Metric):
    """The `evaluate` metric: the mean F1, overall and by kind."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[list[str]], references: list[dict[str, Any]]) -> dict[str, float]:
        return ratio_scores(row_statistics(predictions, references), overall="token_f1", prefix="token_f1_")
