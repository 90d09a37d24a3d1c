"""What the metrics of answers share: which texts count as the same, and scores kept apart by the kind of question.

They import it relatively, because `evaluate.load` copies only such a file along with the metric. It copies no
further, so this one imports nothing beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
PredictedAnswers = Sequence[str] | Mapping[str, Any]  # a row's answers, or a record that has them as its ``prediction``


def normalize_answer(text: str) -> str:
    """Return an answer without its case, the whitespace around it and the punctuation at its end."""
    return text.casefold().strip().rstrip(".,;:!?… ")


def scores_by_kind(
    predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]], score: Callable[[str, str], float]
) -> Statistics:
    """Return, for each kind of question, the scores of each row's answers summed and the number of those questions.

    A row may hold several questions: a prediction is the list of its answers, or a record that has it; a reference
    their true ``answers`` and, where they are known, their ``kinds``. The slice "" counts every question. Raises
    ValueError where answers are missing, with the row.
    """
    slices: Statistics = {"": (np.zeros(len(references)), np.zeros(len(references)))}
    for row, given, true, kind in iter_questions(predictions, references):
        for name in dict.fromkeys(("", kind)):
            scores, asked = slices.setdefault(name, (np.zeros(len(references)), np.zeros(len(references))))
            scores[row] += score(given, true)
            asked[row] += 1
    return dict(sorted(slices.items()))


def iter_questions(
    predictions: Sequence[PredictedAnswers], references: Sequence[dict[str, Any]]
) -> Iterator[tuple[int, str, str, str]]:
    """Yield the row, the answer given, the true answer and the kind ("" where unknown) of every question.

    Raises ValueError where answers or kinds are missing.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    for row, (one, reference) in enumerate(zip(predictions, references, strict=True)):
        given = one["prediction"] if isinstance(one, Mapping) else one
        true = reference["answers"]
        kinds = reference.get("kinds") or [""] * len(true)
        if not len(given) == len(true) == len(kinds):
            raise ValueError(f"row {row} has {len(given)} answers given, {len(true)} true ones and {len(kinds)} kinds")
        for asked in zip(given, true, kinds, strict=True):
            yield row, *asked


def metric_info(description: str) -> evaluate.MetricInfo:
    """Return what `evaluate` is told of a metric of answers."""
    texts = datasets.List(datasets.Value("string"))
    return evaluate.MetricInfo(
        description=description,
        citation="",
        inputs_description="predictions: the answers given in each row; references: its true answers and their kinds",
        features=datasets.Features({"predictions": texts, "references": {"answers": texts, "kinds": texts}}),
    )
