"""Perplexity of the correct answers under the model, overall and by kind of question.

It is 1 if the model is certain of every token, and the vocabulary size if all tokens are equally likely. Can be loaded
by path with ``evaluate.load("perplexity.py")``, without network and without hfmm. ``_answers.py`` must be in the same
folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np

from ._answers import iter_questions

GREATER_IS_BETTER = False
PERCENT = False
SUMMARY = "number of equally likely tokens the model chooses from, on average"  # describes the slice "" in a model card
NEEDS_MODEL = True  # a baseline without a model has no token probabilities

Functional = Callable[[np.ndarray], float]


def row_statistics(predictions: list[dict[str, Any]], references: list[dict[str, Any]]) -> dict[str, Any]:
    """Return no slices, because a perplexity is not a ratio of sums."""
    return {}


def weighted_scores(predictions: list[dict[str, Any]], references: list[dict[str, Any]]) -> dict[str, Functional]:
    """Return the perplexity of each kind and overall, as functions of non-negative row weights `(num_rows,)`.

    A prediction has the answers of a row, and the ``nats`` (negative log-likelihood) and number of ``tokens`` of each
    correct answer. A reference has the correct ``answers`` and their ``kinds``. Raises ValueError if answers are
    missing.
    """
    totals: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    next_answer = [0] * len(references)
    for row, _, _, kind in iter_questions(predictions, references):
        for slice_name in dict.fromkeys(("", kind)):
            nats, tokens = totals.setdefault(slice_name, (np.zeros(len(references)), np.zeros(len(references))))
            nats[row] += predictions[row]["nats"][next_answer[row]]
            tokens[row] += predictions[row]["tokens"][next_answer[row]]
        next_answer[row] += 1
    return {slice_name: _perplexity(nats, tokens) for slice_name, (nats, tokens) in sorted(totals.items())}


def _perplexity(nats: np.ndarray, tokens: np.ndarray) -> Functional:
    def perplexity(weights: np.ndarray) -> float:
        """Return the perplexity with each row counted as often as its weight, or NaN if no token is left."""
        count = float(weights @ tokens)
        return math.exp(float(weights @ nats) / count) if count else math.nan

    return perplexity


class Perplexity(evaluate.Metric):
    """The `evaluate` metric: the perplexity, overall and by kind."""

    def _info(self) -> evaluate.MetricInfo:
        texts, numbers = datasets.List(datasets.Value("string")), datasets.List(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: the predicted answers of each row, and the nats and tokens of its correct "
            "answers; references: the correct answers and their kinds",
            features=datasets.Features(
                {
                    "predictions": {"prediction": texts, "nats": numbers, "tokens": numbers},
                    "references": {"answers": texts, "kinds": texts},
                }
            ),
        )

    def _compute(self, predictions: list[dict[str, Any]], references: list[dict[str, Any]]) -> dict[str, float]:
        ones = np.ones(len(references))
        return {
            f"perplexity_{slice_name}" if slice_name else "perplexity": score(ones)
            for slice_name, score in weighted_scores(predictions, references).items()
        }
