"""How far apart the image and the text embeddings lie, as two clouds and pair by pair.

The gap follows Liang et al. 2022 (arXiv:2203.02053), alignment and uniformity Wang and Isola 2020
(arXiv:2005.10242). Loadable by path, ``evaluate.load("modality_gap.py")``, with no network and without hfmm;
``lengths.py`` lies beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np

from ._norms import row_norms

GREATER_IS_BETTER = False
SUMMARY = (
    "how far the model's images and texts lie apart: distance between their centroids (0 to 2), cosines of pairs and "
    "of others, alignment (squared distance of a pair), uniformity (lower: spread more evenly), and how often a "
    "straight boundary tells an image from a text (50 %: by chance)"
)
NEEDS_MODEL = True  # it says nothing of a baseline that is no model

BLOCK_FLOATS = 2**26  # at most 256 MiB of pairs at a time, whatever the number of rows
RIDGE = 1e-3  # of the mean variance: enough for more dimensions than rows, too little to move the boundary

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
Functional = Callable[[np.ndarray], float]


def row_statistics(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the per-row numerators and denominators whose quotient of sums is the score.

    ``predictions`` holds the embeddings ``image`` and ``text``, both (n, d), where row i is a pair; ``references``
    give the ``group`` of each row. Cosines are in [-1, 1], ``alignment`` is the mean squared distance of a pair in
    [0, 4], ``separability`` in [0, 1] is how often a linear classifier tells an image from a text (0.5: never better
    than chance); it needs two groups or has no slice. Raises ValueError for embeddings that cannot be compared.
    """
    images, texts = _normalized(predictions)
    if len(references) != len(images):
        raise ValueError(f"{len(images)} pairs of embeddings for {len(references)} references")
    ones = np.ones(len(images))
    paired = np.einsum("ij,ij->i", images, texts, dtype=np.float64)
    others = (images @ texts.mean(axis=0) * len(texts) - paired) / (len(texts) - 1)
    slices: Statistics = {
        "paired cosine": (paired, ones),
        "unpaired cosine": (others, ones),
        "alignment": (np.square(images - texts).sum(axis=1, dtype=np.float64), ones),
    }
    _, group_of = np.unique([row["group"] for row in references], return_inverse=True)
    held_out = group_of % 2 == 1
    if held_out.any():
        slices["separability"] = (_linear_separability(images, texts, held_out), held_out.astype(float))
    return slices


def _linear_separability(images: np.ndarray, texts: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Return for each held-out row the share (0, 0.5, 1) of its two embeddings that a ridge classifier places right.

    It is fitted in closed form on the other rows, so the result depends on nothing but the embeddings.
    """
    fit = np.concatenate([images[~held_out], texts[~held_out]])
    middle = fit.mean(axis=0)
    scatter = (fit - middle).T @ (fit - middle)
    ridge = RIDGE * np.trace(scatter) / len(scatter) + np.finfo(float).tiny
    gap = images[~held_out].mean(axis=0) - texts[~held_out].mean(axis=0)
    direction = np.linalg.solve(scatter + ridge * np.eye(len(scatter)), gap).astype(np.float32)
    threshold = middle @ direction
    right = (images @ direction > threshold).astype(float) + (texts @ direction <= threshold)
    return np.where(held_out, right / 2, 0.0)


def weighted_scores(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, Functional]:
    """Return the measures that are no quotient of sums, as functions of non-negative row weights (n,).

    ``distance`` between the centroids of the normalised embeddings is in [0, 2], as is their ``cosine distance``;
    ``uniformity`` is in [-8, 0], lower is more even.
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

    The pairs are summed once, by row. Equal weights give the exact value; others its Hajek projection, which has the
    same bootstrap distribution to first order and costs n, not n^2, a replicate.
    """
    count, doubled = len(vectors), 2 * vectors  # of unit vectors, -2 |x - y|^2 is 2x . 2y - 4
    closeness = np.empty(count)
    step = max(1, BLOCK_FLOATS // count)
    for start in range(0, count, step):
        kernel = doubled[start : start + step] @ doubled.T
        np.exp(kernel, out=kernel)
        np.fill_diagonal(kernel[:, start:], 0)
        closeness[start : start + step] = kernel.sum(axis=1) * np.exp(-4) / (count - 1)
    whole = np.log(closeness.mean())

    def uniformity(weights: np.ndarray) -> float:
        return float(2 * np.log(weights @ closeness / weights.sum()) - whole)

    return uniformity


def _normalized(predictions: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the image and text embeddings (n, d) with length 1, in fp32.

    Raises ValueError unless they are pairs of one width, at least two, and each has a direction.
    """
    images, texts = (np.asarray(predictions[name]) for name in ("image", "text"))
    if len(images) != len(texts):
        raise ValueError(f"{len(images)} image embeddings are no pairs with {len(texts)} text embeddings")
    if len(images) < 2:
        raise ValueError(f"the modality gap needs at least 2 rows, not {len(images)}")
    if images.shape[1] != texts.shape[1]:
        raise ValueError(f"image embeddings have {images.shape[1]} dimensions, text embeddings {texts.shape[1]}")
    image, text = (
        np.divide(vectors, row_norms(vectors, name), dtype=np.float32)
        for vectors, name in ((images, "image"), (texts, "text"))
    )
    return image, text


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent, as only separability is."""
    return group == "separability"


class ModalityGap(evaluate.Metric):
    """The `evaluate` face: each row brings its two embeddings and its group."""

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
        scores = {
            name: float(numerators.sum() / denominators.sum())
            for name, (numerators, denominators) in row_statistics(embeddings, references).items()
        }
        ones = np.ones(len(references))
        return scores | {name: measure(ones) for name, measure in weighted_scores(embeddings, references).items()}
