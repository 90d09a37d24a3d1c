"""Share of sentences whose wrong verb is corrected, or whose correct verb is left unchanged.

Can be loaded by path with ``evaluate.load("correction_accuracy.py")``, without network and without hfmm.
``_answers.py``, ``_edit_rates.py`` and ``_scores.py`` must be in the same folder.
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
PERCENT = True
REFERENCE_COLUMNS = ("text", "verb", "error")
# Describes the slice "" in a model card.
SUMMARY = "sentences whose wrong verb was corrected, or whose correct verb was left unchanged"

KIND = "correct"  # the kind of question that counts

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the successes and the sentences of each row. The score is the ratio of their sums.

    A prediction is the list of a row's answers or a record that contains it. A reference has the ``text`` to correct,
    the correct ``verb``, the correct ``answers``, their ``kinds`` and the ``error`` in the text, or "" for none. Only
    questions of the kind `KIND` count. Without any, there is no slice. The slice ``wrong sentences`` measures whether
    the verb was corrected, ``right sentences`` whether it was left unchanged. Errors in other words do not count, nor
    do case and punctuation. ``error: tense`` and so on are the wrong sentences by error. Raises ValueError if answers
    are missing.
    """
    slices: Statistics = {}
    for row, prediction, answer, kind in iter_questions(predictions, references):
        if kind == KIND:
            error, text, verb = (references[row][name] for name in ("error", "text", "verb"))
            for slice_name in ("", *(("wrong sentences", f"error: {error}") if error else ("right sentences",))):
                successes, counts = slices.setdefault(
                    slice_name, (np.zeros(len(references)), np.zeros(len(references)))
                )
                successes[row] += _is_corrected(prediction, answer, text, verb)
                counts[row] += 1
    return dict(sorted(slices.items()))


def _is_corrected(prediction: str, answer: str, text: str, verb: str) -> bool:
    """Check that the verb follows its subject and that no extra word of it or of the wrong verb is left."""
    text_words, answer_words, predicted_words, verb_words = (
        normalize_words(sentence).split() for sentence in (text, answer, prediction, verb)
    )
    first = next(
        index for index in range(len(answer_words)) if answer_words[index : index + len(verb_words)] == verb_words
    )
    last = first + len(verb_words)
    wrong_verb = text_words[first : len(text_words) - len(answer_words) + last]
    if any(predicted_words.count(word) > answer_words.count(word) for word in {*wrong_verb, *verb_words}):
        return False
    pairs = align(answer_words, predicted_words)
    pair_of_word = {index: position for position, (index, _) in enumerate(pairs)}
    verb_pairs = pairs[pair_of_word.get(first - 1, -1) + 1 : pair_of_word[last - 1] + 1]
    return [predicted_words[index] for _, index in verb_pairs if index is not None] == verb_words


class CorrectionAccuracy(evaluate.Metric):
    """The `evaluate` metric: the share of successes, overall and by slice."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        texts = datasets.List(text)
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: the predicted answers of each row; references: its text, the correct "
            "verb, the correct answers, their kinds and the error in the text",
            features=datasets.Features(
                {
                    "predictions": texts,
                    "references": {"answers": texts, "kinds": texts} | dict.fromkeys(("text", "verb", "error"), text),
                }
            ),
        )

    def _compute(self, predictions: list[list[str]], references: list[dict[str, Any]]) -> dict[str, float]:
        name = "correction_accuracy"
        return ratio_scores(row_statistics(predictions, references), overall=name, prefix=f"{name} ")
