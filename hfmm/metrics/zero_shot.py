"""Share of images whose own class has the nearest prompt among the prompts of all classes.

Loadable by path, ``evaluate.load("zero_shot.py")``, with no network and without hfmm; ``lengths.py`` lies beside it.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np

from ._norms import row_norms

GREATER_IS_BETTER = True
SUMMARY = "images whose class has the nearest prompt"  # what the slice "" is, for people

ROUNDING = 1e-6  # cosines of equal vectors may differ by this much

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> Statistics:
    """Return, as the slice "", the per-row numerators and denominators whose quotient of sums is the accuracy.

    ``predictions`` holds the embeddings ``image`` and ``class``, both (n, d) and of length 1; row i of the second is
    the prompt of row i's ``class`` in ``references``. The classes are those that occur. A tie is a mistake, so that
    constant embeddings know nothing. Raises ValueError for embeddings that cannot be compared.
    """
    images, prompts = np.asarray(predictions["image"]), np.asarray(predictions["class"])
    if not len(images) == len(prompts) == len(references):
        raise ValueError(f"{len(images)} image and {len(prompts)} class embeddings for {len(references)} references")
    if images.shape[1] != prompts.shape[1]:
        raise ValueError(f"image embeddings have {images.shape[1]} dimensions, class embeddings {prompts.shape[1]}")
    row_norms(images, "image")
    row_norms(prompts, "class")
    _, first, own = np.unique([row["class"] for row in references], return_index=True, return_inverse=True)
    cosines = images @ prompts[first].T
    rows = np.arange(len(images))
    right = cosines[rows, own].copy()
    cosines[rows, own] = -np.inf
    return {"": ((right > cosines.max(axis=1, initial=-np.inf) + ROUNDING).astype(float), np.ones(len(images)))}


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class ZeroShot(evaluate.Metric):
    """The `evaluate` face: each row brings the embeddings of its image and of its class's prompt, and the class."""

    def _info(self) -> evaluate.MetricInfo:
        embedding = datasets.Sequence(datasets.Value("float32"))
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: rows with the embeddings image and class; references: rows with the class",
            features=datasets.Features(
                {
                    "predictions": {"image": embedding, "class": embedding},
                    "references": {"class": datasets.Value("string")},
                }
            ),
        )

    def _compute(self, predictions: list[dict[str, list[float]]], references: list[dict[str, Any]]) -> dict[str, float]:
        embeddings = {name: np.array([row[name] for row in predictions]) for name in ("image", "class")}
        ((right, ones),) = row_statistics(embeddings, references).values()
        return {"zero_shot": float(right.sum() / ones.sum())}
