"""Character error rate of what was to be copied from a picture: characters to replace, insert or delete, as a share.

Case and punctuation do not count. Loadable by path, ``evaluate.load("transcription.py")``, with no network and without
hfmm; ``answers.py``, ``quotients.py`` and ``transcripts.py`` lie beside it.
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
SUMMARY = "characters wrong, missing or too many for each one to be copied"  # what the slice "" is, for people

KIND = "transcribe"  # the kind of the questions that count

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]) -> Statistics:
    """Return, as the slice "", edits and characters of each row, whose quotient of sums is the rate.

    A prediction is the list of a row's answers, or a record that has it; a reference gives the true ``answers`` and
    their ``kinds``, of which `KIND` counts. Without such questions there is no slice. Raises ValueError where answers
    are missing.
    """
    edits, characters = np.zeros(len(references)), np.zeros(len(references))
    for row, given, true, kind in iter_questions(predictions, references):
        if kind == KIND:
            edits[row] += Levenshtein.distance(normalize_words(given), normalize_words(true))
            characters[row] += len(normalize_words(true))
    return {"": (edits, characters)} if characters.any() else {}


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class PageCER(evaluate.Metric):
    """The `evaluate` face of `statistics`."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[list[str]], references: list[dict[str, Any]]) -> dict[str, float]:
        return ratio_scores("transcription", row_statistics(predictions, references))
