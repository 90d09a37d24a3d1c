"""Whether sentences come back corrected: a wrong verb mended, a right one left alone.

Loadable by path, ``evaluate.load("correction.py")``, with no network and without hfmm; ``answers.py``,
``quotients.py`` and ``transcripts.py`` lie beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from ._answers import PredictedAnswers, iter_questions
from ._edit_rates import align, normalize_words
from ._scores import ratio_scores

GREATER_IS_BETTER = True
REFERENCE_COLUMNS = ("text", "verb", "error")
SUMMARY = (
    "sentences whose verb is right once corrected, or was right and left alone"  # what the slice "" is, for people
)

KIND = "correct"  # the kind of the questions that count

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the sentences come out right and the sentences of each row, whose quotient is the share.

    A prediction is the list of a row's answers, or a record that has it; a reference gives the ``text`` that was to be
    corrected, the ``verb`` as it should be, the true ``answers``, their ``kinds``, of which `KIND` counts, and the
    ``error`` in the text, "" where there is none. The slice ``wrong sentences`` asks whether the verb was mended,
    ``right sentences`` whether it was left alone, both whatever else was misread; ``error: tense`` and so on are the
    wrong ones by their error. Case and punctuation do not count. Without such questions there is no slice. Raises
    ValueError where answers are missing.
    """
    slices: Statistics = {}
    for row, given, true, kind in iter_questions(predictions, references):
        if kind == KIND:
            error, text, verb = (references[row][name] for name in ("error", "text", "verb"))
            for name in ("", *(("wrong sentences", f"error: {error}") if error else ("right sentences",))):
                mended, sentences = slices.setdefault(name, (np.zeros(len(references)), np.zeros(len(references))))
                mended[row] += _is_corrected(given, true, text, verb)
                sentences[row] += 1
    return dict(sorted(slices.items()))


def _is_corrected(prediction: str, true: str, text: str, verb: str) -> bool:
    """Tell whether the verb follows its subject, with no word left over of it or of the wrong one."""
    before, after, said, right = (normalize_words(one).split() for one in (text, true, prediction, verb))
    first = next(at for at in range(len(after)) if after[at : at + len(right)] == right)
    last = first + len(right)
    wrong = before[first : len(before) - len(after) + last]
    if any(said.count(word) > after.count(word) for word in {*wrong, *right}):
        return False
    pairs = align(after, said)
    at = {place: number for number, (place, _) in enumerate(pairs)}
    between = pairs[at.get(first - 1, -1) + 1 : at[last - 1] + 1]
    return [said[other] for _, other in between if other is not None] == right


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class CorrectionAccuracy(evaluate.Metric):
    """The `evaluate` face of `statistics`."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        texts = datasets.List(text)
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: the answers given in each row; references: its text, the verb as it "
            "should be, the true answers, their kinds and the error in the text",
            features=datasets.Features(
                {
                    "predictions": texts,
                    "references": {"answers": texts, "kinds": texts} | dict.fromkeys(("text", "verb", "error"), text),
                }
            ),
        )

    def _compute(self, predictions: list[list[str]], references: list[dict[str, Any]]) -> dict[str, float]:
        return ratio_scores("correction", row_statistics(predictions, references), between=" ")
