"""Modality gap: the distance between image and text embeddings, as two distributions and pair by pair.

The gap follows Liang et al. 2022 (arXiv:2203.02053). Alignment and uniformity follow Wang and Isola 2020
(arXiv:2005.10242). Can be loaded by path with ``evaluate.load("modality_gap.py")``, without network and without hfmm.
``_norms.py`` and ``_scores.py`` must be in the same folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np

from ._norms import row_norms
from ._scores import ratio_scores

GREATER_IS_BETTER = False
PERCENT = frozenset({"separability"})
SUMMARY = (
    "distance between image and text embeddings: distance of their centroids (0 to 2), cosines of pairs and of "
    "non-pairs, alignment (squared distance of a pair), uniformity (lower: spread more evenly), and separability (how "
    "often a linear classifier tells an image from a text; 50 % is chance)"
)
NEEDS_MODEL = True  # a baseline without a model has no embedding space to measure

BLOCK_FLOATS = 2**26  # at most 256 MiB of pairs at a time, for any number of rows
RIDGE = 1e-3  # relative to the mean variance: allows more dimensions than rows, but hardly moves the boundary

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
Functional = Callable[[np.ndarray], float]


def row_statistics(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the per-row numerators and denominators. The score is the ratio of their sums.

    ``predictions`` has the embeddings ``image`` and ``text``, both `(num_rows, embedding_dim)`. Row i is a pair.
    ``references`` have the ``group`` of each row. Cosines are in [-1, 1]. ``alignment`` is the mean squared distance of
    a pair, in [0, 4]. ``separability`` is how often a linear classifier tells an image from a text, in [0, 1] (0.5 is
    chance). It needs at least two groups, otherwise it has no slice. Raises ValueError for embeddings that cannot be
    compared.
    """
    images, texts = _normalized(predictions)
    if len(references) != len(images):
        raise ValueError(f"{len(images)} pairs of embeddings for {len(references)} references")
    ones = np.ones(len(images))
    paired_cosines = np.einsum("ij,ij->i", images, texts, dtype=np.float64)
    unpaired_cosines = (images @ texts.mean(axis=0) * len(texts) - paired_cosines) / (len(texts) - 1)
    slices: Statistics = {
        "paired cosine": (paired_cosines, ones),
        "unpaired cosine": (unpaired_cosines, ones),
        "alignment": (np.square(images - texts).sum(axis=1, dtype=np.float64), ones),
    }
    _, group_ids = np.unique([row["group"] for row in references], return_inverse=True)
    held_out = group_ids % 2 == 1
    if held_out.any():
        slices["separability"] = (_linear_separability(images, texts, held_out), held_out.astype(float))
    return slices


def _linear_separability(images: np.ndarray, texts: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Return the share (0, 0.5, 1) of the two embeddings of each held-out row that a ridge classifier gets right.

    The classifier is fitted in closed form on the other rows, so the result is deterministic.
    """
    train = np.concatenate([images[~held_out], texts[~held_out]])
    mean = train.mean(axis=0)
    scatter = (train - mean).T @ (train - mean)
    ridge = RIDGE * np.trace(scatter) / len(scatter) + np.finfo(float).tiny
    gap = images[~held_out].mean(axis=0) - texts[~held_out].mean(axis=0)
    direction = np.linalg.solve(scatter + ridge * np.eye(len(scatter)), gap).astype(np.float32)
    threshold = mean @ direction
    num_correct = (images @ direction > threshold).astype(float) + (texts @ direction <= threshold)
    return np.where(held_out, num_correct / 2, 0.0)


def weighted_scores(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, Functional]:
    """Return the scores that are not a ratio of sums, as functions of non-negative row weights `(num_rows,)`.

    ``distance`` and ``cosine distance`` compare the centroids of the normalized embeddings. Both are in [0, 2].
    ``uniformity`` is in [-8, 0]. Lower is more even.
    """
    images, texts = _normalized(predictions)

    def centroids(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shares = (weights / weights.sum()).astype(np.float32)
        return shares @ images, shares @ texts

    def distance(weights: np.ndarray) -> float:
        image, text = centroids(weights)
        return float(np.linalg.norm(image - text))

    def cosine_distance(weights: np.ndarray) -> float:
        image, text = centroids(weights)
        return float(1 - image @ text / (np.linalg.norm(image) * np.linalg.norm(text)))

    return {
        "distance": distance,
        "cosine distance": cosine_distance,
        "uniformity image": _uniformity(images),
        "uniformity text": _uniformity(texts),
    }


def _uniformity(vectors: np.ndarray) -> Functional:
    """Return log E exp(-2 |x - y|^2) over pairs of different rows, as a function of row weights.

    The pairs are summed once, by row. Equal weights give the exact value. Other weights give its Hajek projection,
    which has the same bootstrap distribution to first order and costs n instead of n^2 per resample.
    """
    count, doubled = len(vectors), 2 * vectors  # for unit vectors, -2 |x - y|^2 is 2x . 2y - 4
    mean_kernels = np.empty(count)
    step = max(1, BLOCK_FLOATS // count)
    for start in range(0, count, step):
        kernel = doubled[start : start + step] @ doubled.T
        np.exp(kernel, out=kernel)
        np.fill_diagonal(kernel[:, start:], 0)
        mean_kernels[start : start + step] = kernel.sum(axis=1) * np.exp(-4) / (count - 1)
    unweighted = np.log(mean_kernels.mean())

    def uniformity(weights: np.ndarray) -> float:
        return float(2 * np.log(weights @ mean_kernels / weights.sum()) - unweighted)

    return uniformity


def _normalized(predictions: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalized image and text embeddings `(num_rows, embedding_dim)` in fp32.

    Raises ValueError unless there are at least two pairs of one dimension, and each embedding has a direction.
    """
    images, texts = (np.asarray(predictions[name]) for name in ("image", "text"))
    if len(images) != len(texts):
        raise ValueError(f"{len(images)} image embeddings and {len(texts)} text embeddings do not form pairs")
    if len(images) < 2:
        raise ValueError(f"the modality gap needs at least 2 rows, not {len(images)}")
    if images.shape[1] != texts.shape[1]:
        raise ValueError(f"image embeddings have {images.shape[1]} dimensions, text embeddings {texts.shape[1]}")
    image, text = (
        np.divide(vectors, row_norms(vectors, name), dtype=np.float32)
        for vectors, name in ((images, "image"), (texts, "text"))
    )
    return image, text


class ModalityGap(evaluate.Metric):
    """The `evaluate` metric. Each row has its two embeddings and its group."""

    def _info(self) -> evaluate.MetricInfo:
        embedding = datasets.Sequence(datasets.Value("float32"))
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: rows with the embeddings image and text; references: rows with the group",
            features=datasets.Features(
                {
                    "predictions": {"image": embedding, "text": embedding},
                    "references": {"group": datasets.Value("string")},
                }
            ),
        )

    def _compute(self, predictions: list[dict[str, list[float]]], references: list[dict[str, Any]]) -> dict[str, float]:
        embeddings = {name: np.array([row[name] for row in predictions]) for name in ("image", "text")}
        scores = ratio_scores(row_statistics(embeddings, references))
        ones = np.ones(len(references))
        return scores | {name: score(ones) for name, score in weighted_scores(embeddings, references).items()}
