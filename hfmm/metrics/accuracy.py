"""Share of rows whose labels are all right, and of each attribute by itself.

Loadable by path, ``evaluate.load("accuracy.py")``, with no network and without hfmm.
"""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

GREATER_IS_BETTER = True
SUMMARY = "rows whose label is right, as a whole"  # what the slice "" is, for people

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: list[list[str]], references: list[list[str]]) -> Statistics:
    """Return, for each slice, the per-row numerators and denominators whose quotient of sums is the score.

    A row is a list of label names, one for each attribute (``tense: past``), or one plain class. The
    slice "" asks for the whole row; with several attributes each has its own slice.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    right = np.array([set(one) == set(other) for one, other in zip(predictions, references, strict=True)], dtype=float)
    ones = np.ones(len(references))
    slices: Statistics = {"": (right, ones)}
    attributes = [label.partition(": ")[0] for label in references[0]] if references else []
    if len(attributes) > 1:
        for attribute in attributes:
            prefix = f"{attribute}: "
            hits = [
                [label for label in one if label.startswith(prefix)]
                == [label for label in other if label.startswith(prefix)]
                for one, other in zip(predictions, references, strict=True)
            ]
            slices[attribute] = (np.array(hits, dtype=float), ones)
    return slices


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class Accuracy(evaluate.Metric):
    """The `evaluate` face of `statistics`."""

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
            f"accuracy_{name}" if name else "accuracy": float(numerators.sum() / denominators.sum())
            for name, (numerators, denominators) in row_statistics(predictions, references).items()
        }
