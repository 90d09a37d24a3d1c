"""Perplexity of the true answers: among how many equally likely tokens the model chose, all together and kind by kind.

It is 1 where each token of a true answer was certain, and as large as the vocabulary where any was as likely. Loadable
by path, ``evaluate.load("perplexity.py")``, with no network and without hfmm; ``answers.py`` lies beside it.
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
SUMMARY = "tokens among which the model chose, as if all were equally likely"  # what the slice "" is, for people
NEEDS_MODEL = True  # what is no model is not surprised

Functional = Callable[[np.ndarray], float]


def row_statistics(predictions: list[dict[str, Any]], references: list[dict[str, Any]]) -> dict[str, Any]:
    """Return nothing: a perplexity is no quotient of sums."""
    return {}


def weighted_scores(predictions: list[dict[str, Any]], references: list[dict[str, Any]]) -> dict[str, Functional]:
    """Return the perplexity of each kind of question, and of all, as a function of non-negative row weights (n,).

    A prediction gives a row's answers and, for each true one, the ``nats`` by which it surprised the model and its
    ``tokens``; a reference the true ``answers`` and their ``kinds``. Raises ValueError where answers are missing.
    """
    sums: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    places = [0] * len(references)
    for row, _, _, kind in iter_questions(predictions, references):
        for name in dict.fromkeys(("", kind)):
            nats, tokens = sums.setdefault(name, (np.zeros(len(references)), np.zeros(len(references))))
            nats[row] += predictions[row]["nats"][places[row]]
            tokens[row] += predictions[row]["tokens"][places[row]]
        places[row] += 1
    return {name: _perplexity(*both) for name, both in sorted(sums.items())}


def _perplexity(nats: np.ndarray, tokens: np.ndarray) -> Functional:
    def perplexity(weights: np.ndarray) -> float:
        """Return it for rows each as often as its weight says; NaN when no token is left."""
        count = float(weights @ tokens)
        return math.exp(float(weights @ nats) / count) if count else math.nan

    return perplexity


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is none."""
    return False


class Perplexity(evaluate.Metric):
    """The `evaluate` face of `functionals`."""

    def _info(self) -> evaluate.MetricInfo:
        texts, numbers = datasets.List(datasets.Value("string")), datasets.List(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: the answers given in each row, nats and tokens of its true ones; "
            "references: the true answers and their kinds",
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
            f"perplexity_{name}" if name else "perplexity": score(ones)
            for name, score in weighted_scores(predictions, references).items()
        }
