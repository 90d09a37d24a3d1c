"""Mean F1 of the words of an answer, all questions together and kind by kind (Rajpurkar et al. 2016, arXiv:1606.05250).

Words are what stands between spaces; case, the whitespace around an answer and the punctuation at its end do not count.
Unlike in SQuAD articles do, which are grammar too. Loadable by path, ``evaluate.load("token_f1.py")``, with no network
and without hfmm; ``answers.py`` and ``quotients.py`` lie beside it.
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
SUMMARY = "words that answer and truth share, as the F1 of each question"  # what the slice "" is, for people

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the summed F1 and the questions of each row, whose quotient of sums is the mean.

    A prediction is the list of a row's answers, or a record that has it; a reference gives the true ``answers`` and
    their ``kinds``, each of which is a slice. Raises ValueError where answers are missing.
    """
    return scores_by_kind(predictions, references, _f1)


def _f1(given: str, true: str) -> float:
    """Return twice the words that both share, each as often as both have it, over the words of both."""
    one, other = Counter(normalize_answer(given).split()), Counter(normalize_answer(true).split())
    count = one.total() + other.total()
    return 2 * (one & other).total() / count if count else 1.0


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class TokenF1(evaluate.Metric):
    """The `evaluate` face of `statistics`."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[list[str]], references: list[dict[str, Any]]) -> dict[str, float]:
        return ratio_scores("token_f1", row_statistics(predictions, references))
