"""Share of rows whose labels are all correct, and the accuracy of each attribute.

Can be loaded by path with ``evaluate.load("accuracy.py")``, without network and without hfmm. ``_scores.py`` must be in
the same folder.
"""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from ._scores import ratio_scores

GREATER_IS_BETTER = True
PERCENT = True
SUMMARY = "rows whose labels are all correct"  # describes the slice "" in a model card

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: list[list[str]], references: list[list[str]]) -> Statistics:
    """Return, for each slice, the per-row numerators and denominators. The score is the ratio of their sums.

    A row is a list of label names: one for each attribute (``tense: past``), or one plain class. The slice ""
    compares all labels of a row. With several attributes, each has its own slice.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    pairs = list(zip(predictions, references, strict=True))
    correct = np.array([set(prediction) == set(reference) for prediction, reference in pairs], dtype=float)
    ones = np.ones(len(references))
    slices: Statistics = {"": (correct, ones)}
    attributes = [label.partition(": ")[0] for label in references[0]] if references else []
    if len(attributes) > 1:
        for attribute in attributes:
            prefix = f"{attribute}: "
            is_correct = [
                [label for label in prediction if label.startswith(prefix)]
                == [label for label in reference if label.startswith(prefix)]
                for prediction, reference in pairs
            ]
            slices[attribute] = (np.array(is_correct, dtype=float), ones)
    return slices


class Accuracy(evaluate.Metric):
    """The `evaluate` metric: the accuracy of whole rows and of each attribute."""

    def _info(self) -> evaluate.MetricInfo:
        labels = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions and references: a list of label names for each row",
            features=datasets.Features({"predictions": labels, "references": labels}),
        )

    def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
        return ratio_scores(row_statistics(predictions, references), overall="accuracy", prefix="accuracy_")
