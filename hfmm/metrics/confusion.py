"""Confusion matrix of labels, and the recall of each class.

Can be loaded by path with ``evaluate.load("confusion.py")``, without network and without hfmm. ``_scores.py`` must be
in the same folder.
"""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from ._scores import ratio_scores

GREATER_IS_BETTER = True
PERCENT = True

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: list[list[str]], references: list[list[str]]) -> Statistics:
    """Return, for each class, the rows that were recognized (numerators) and the rows that have it (denominators).

    The slice is the label name, and the ratio of the sums is the recall of the class. A row is a list of label names
    as in `accuracy`.
    """
    classes = sorted({label for row in references for label in row})
    slices: Statistics = {}
    for name in classes:
        in_reference = np.array([name in row for row in references], dtype=float)
        recognized = np.array([name in row for row in predictions], dtype=float) * in_reference
        slices[name] = (recognized, in_reference)
    return slices


def matrix(predictions: list[list[str]], references: list[list[str]], attribute: str) -> tuple[np.ndarray, list[str]]:
    """Return the confusion matrix `(num_classes, num_classes)`, references by predictions, and the class names.

    ``attribute`` selects the labels ``attribute: value``. An empty string means rows of one plain class.
    """
    pairs = [
        (_value(reference, attribute), _value(prediction, attribute))
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    names = sorted({name for pair in pairs for name in pair})
    index = {name: position for position, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    for reference_value, predicted_value in pairs:
        counts[index[reference_value], index[predicted_value]] += 1
    return counts, names


def _value(row: list[str], attribute: str) -> str:
    if not attribute:
        return row[0]
    prefix = f"{attribute}: "
    return next(label.removeprefix(prefix) for label in row if label.startswith(prefix))


class Confusion(evaluate.Metric):
    """The `evaluate` metric: the recall of each class."""

    def _info(self) -> evaluate.MetricInfo:
        labels = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions and references: a list of label names for each row",
            features=datasets.Features({"predictions": labels, "references": labels}),
        )

    def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
        return ratio_scores(row_statistics(predictions, references), prefix="recall ")
