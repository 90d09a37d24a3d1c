"""Which label is taken for which: a matrix of counts, and the recall of each class.

Loadable by path, ``evaluate.load("confusion.py")``, with no network and without hfmm.
"""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

GREATER_IS_BETTER = True

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: list[list[str]], references: list[list[str]]) -> Statistics:
    """Return, for each class, the rows that were found (numerators) of those that have it (denominators).

    The slice is the label name, and the quotient of the sums is the recall of that class; a row is a
    list of label names as in `accuracy`.
    """
    classes = sorted({label for row in references for label in row})
    slices: Statistics = {}
    for name in classes:
        present = np.array([name in row for row in references], dtype=float)
        found = np.array([name in row for row in predictions], dtype=float) * present
        slices[name] = (found, present)
    return slices


def matrix(predictions: list[list[str]], references: list[list[str]], attribute: str) -> tuple[np.ndarray, list[str]]:
    """Return counts with the true class in rows and the predicted one in columns, and the class names.

    ``attribute`` picks the labels ``attribute: value``; empty takes rows of one plain class.
    """
    pairs = [
        (_value(reference, attribute), _value(prediction, attribute))
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    names = sorted({name for pair in pairs for name in pair})
    place = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    for true, predicted in pairs:
        counts[place[true], place[predicted]] += 1
    return counts, names


def _value(row: list[str], attribute: str) -> str:
    if not attribute:
        return row[0]
    prefix = f"{attribute}: "
    return next(label.removeprefix(prefix) for label in row if label.startswith(prefix))


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class Confusion(evaluate.Metric):
    """The `evaluate` face: the recall of each class."""

    def _info(self) -> evaluate.MetricInfo:
        labels = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions and references: a list of label names for each row",
            features=datasets.Features({"predictions": labels, "references": labels}),
        )

    def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
        return {
            f"recall {name}": float(numerators.sum() / denominators.sum())
            for name, (numerators, denominators) in row_statistics(predictions, references).items()
        }
