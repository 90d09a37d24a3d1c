"""Character error rate of the texts transcribed from images.

Case and punctuation are ignored. Can be loaded by path with ``evaluate.load("page_cer.py")``, without network and
without hfmm. ``_answers.py``, ``_edit_rates.py`` and ``_scores.py`` must be in the same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate
import numpy as np
from rapidfuzz.distance import Levenshtein

from ._answers import PredictedAnswers, iter_questions, metric_info
from ._edit_rates import normalize_words
from ._scores import ratio_scores

GREATER_IS_BETTER = False
REFERENCE_COLUMNS = ("kinds",)
PERCENT = True
# Describes the slice "" in a model card.
SUMMARY = "character substitutions, insertions and deletions per character of the text to transcribe"

KIND = "transcribe"  # the kind of question that counts

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]) -> Statistics:
    """Return the edits and characters of each row as the slice "". The score is the ratio of their sums.

    A prediction is the list of a row's answers or a record that contains it. A reference has the correct ``answers``
    and their ``kinds``. Only questions of the kind `KIND` count. Without any, there is no slice. Raises ValueError if
    answers are missing.
    """
    edits, characters = np.zeros(len(references)), np.zeros(len(references))
    for row, prediction, answer, kind in iter_questions(predictions, references):
        if kind == KIND:
            edits[row] += Levenshtein.distance(normalize_words(prediction), normalize_words(answer))
            characters[row] += len(normalize_words(answer))
    return {"": (edits, characters)} if characters.any() else {}


class PageCER(evaluate.Metric):
    """The `evaluate` metric: the character error rate of the transcribed texts."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[list[str]], references: list[dict[str, Any]]) -> dict[str, float]:
        return ratio_scores(row_statistics(predictions, references), overall="page_cer")
