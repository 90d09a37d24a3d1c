"""Zero-shot accuracy: the share of images whose nearest class prompt is that of their own class.

Can be loaded by path with ``evaluate.load("zero_shot.py")``, without network and without hfmm. ``_norms.py`` and
``_scores.py`` must be in the same folder.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np

from ._norms import row_norms
from ._scores import ratio_scores

GREATER_IS_BETTER = True
PERCENT = True
SUMMARY = "images whose nearest class prompt is that of their own class"  # describes the slice "" in a model card

ROUNDING = 1e-6  # cosines of equal vectors can differ by this much

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> Statistics:
    """Return the per-row numerators and denominators as the slice "". The ratio of their sums is the accuracy.

    ``predictions`` has the normalized embeddings ``image`` and ``class``, both `(num_rows, embedding_dim)`. Row i of
    ``class`` is the prompt of the ``class`` of row i in ``references``. Only classes that occur are compared. A tie is
    an error, so constant embeddings score 0. Raises ValueError for embeddings that cannot be compared.
    """
    images, prompts = np.asarray(predictions["image"]), np.asarray(predictions["class"])
    if not len(images) == len(prompts) == len(references):
        raise ValueError(f"{len(images)} image and {len(prompts)} class embeddings for {len(references)} references")
    if images.shape[1] != prompts.shape[1]:
        raise ValueError(f"image embeddings have {images.shape[1]} dimensions, class embeddings {prompts.shape[1]}")
    row_norms(images, "image")
    row_norms(prompts, "class")
    names = [row["class"] for row in references]
    _, prompt_rows, class_ids = np.unique(names, return_index=True, return_inverse=True)
    cosines = images @ prompts[prompt_rows].T
    rows = np.arange(len(images))
    own_cosine = cosines[rows, class_ids].copy()
    cosines[rows, class_ids] = -np.inf
    is_correct = own_cosine > cosines.max(axis=1, initial=-np.inf) + ROUNDING
    return {"": (is_correct.astype(float), np.ones(len(images)))}


class ZeroShot(evaluate.Metric):
    """The `evaluate` metric. Each row has the embeddings of its image and of the prompt of its class, and the class."""

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
        return ratio_scores(row_statistics(embeddings, references), overall="zero_shot")
