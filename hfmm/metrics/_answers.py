"""Helpers of the question answering metrics: normalization of answers, and scores by kind of question.

The metrics import this module relatively, because `evaluate.load` copies only relative imports along with a metric.
It does not copy the imports of those, so this module has no relative import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
PredictedAnswers = Sequence[str] | Mapping[str, Any]  # the answers of a row, or a record with them as its `prediction`


def normalize_answer(text: str) -> str:
    """Return an answer in lower case, without surrounding whitespace and final punctuation."""
    return text.casefold().strip().rstrip(".,;:!?… ")


def scores_by_kind(
    predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]], score: Callable[[str, str], float]
) -> Statistics:
    """Return, for each kind of question, the sum of the scores and the number of questions of each row.

    A row can have several questions. A prediction is the list of its answers or a record that contains it. A reference
    has the correct ``answers`` and optionally their ``kinds``. The slice "" counts all questions. Raises ValueError
    with the row if answers are missing.
    """
    slices: Statistics = {"": (np.zeros(len(references)), np.zeros(len(references)))}
    for row, prediction, answer, kind in iter_questions(predictions, references):
        for slice_name in dict.fromkeys(("", kind)):
            scores, counts = slices.setdefault(slice_name, (np.zeros(len(references)), np.zeros(len(references))))
            scores[row] += score(prediction, answer)
            counts[row] += 1
    return dict(sorted(slices.items()))


def iter_questions(
    predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]
) -> Iterator[tuple[int, str, str, str]]:
    """Yield the row, predicted answer, reference answer and kind ("" if unknown) of every question.

    Raises ValueError if answers or kinds are missing.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        predicted_answers = prediction["prediction"] if isinstance(prediction, Mapping) else prediction
        answers = reference["answers"]
        kinds = reference.get("kinds") or [""] * len(answers)
        if not len(predicted_answers) == len(answers) == len(kinds):
            raise ValueError(
                f"row {row} has {len(predicted_answers)} predicted answers, {len(answers)} reference answers and "
                f"{len(kinds)} kinds"
            )
        for question in zip(predicted_answers, answers, kinds, strict=True):
            yield row, *question


def metric_info(description: str) -> evaluate.MetricInfo:
    """Return the `evaluate` description of a question answering metric."""
    texts = datasets.List(datasets.Value("string"))
    return evaluate.MetricInfo(
        description=description,
        citation="",
        inputs_description="predictions: the predicted answers of each row; references: its correct answers and kinds",
        features=datasets.Features({"predictions": texts, "references": {"answers": texts, "kinds": texts}}),
    )
