"""How well images and texts find each other: R@1, R@5, R@10, MRR and median rank in four directions.

What is right for a query is a set, never the diagonal: a text is right for every image that has it among its
captions. Loadable by path, ``evaluate.load("retrieval.py")``, with no network and without hfmm;
``lengths.py`` lies beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from ._norms import row_norms

GREATER_IS_BETTER = True
SUMMARY = "R@1, mean of image->text and text->image"  # what the slice "" is, for people

CUTOFFS = (1, 5, 10)
BLOCK_ROWS = 1024  # queries a matrix product; fewer would not keep the processor busy
BLOCK_FLOATS = 2**28  # at most 1 GiB of scores at a time, whatever the number of candidates
TIE_TOLERANCE = 1e-6  # a BLAS gives equal vectors cosines that differ by this much at the edges of its tiles

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
Functional = Callable[[np.ndarray], float]


def ranks(
    queries: np.ndarray, candidates: np.ndarray, relevant: Sequence[np.ndarray], exclude_self: bool = False
) -> np.ndarray:
    """Return for each query the rank, from 1, of its best relevant candidate among all that are not relevant.

    ``queries`` (n, d) and ``candidates`` (m, d) are compared by cosine in fp32; ``relevant[i]`` holds the candidates
    that are right for query i, and queries may share one array. ``exclude_self`` says that query i is candidate i,
    which then counts neither way. A tie counts against the query, so that constant embeddings find nothing; a query
    with nothing relevant has rank 0. Memory beyond the input is one copy of the candidates and one block of scores.
    """
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} dimensions, candidates {candidates.shape[1]}")
    query_lengths = row_norms(queries, "query")
    unit = np.divide(candidates, row_norms(candidates, "candidate"), dtype=np.float32)
    step = max(1, min(BLOCK_ROWS, BLOCK_FLOATS // len(unit), len(queries)))
    buffer = np.empty((step, len(unit)), dtype=np.float32)
    found = np.zeros(len(queries), dtype=np.int64)
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        directions = np.divide(queries[block], query_lengths[block], dtype=np.float32)
        scores = np.matmul(directions, unit.T, out=buffer[: len(directions)])
        for index, row in enumerate(scores, start):
            if exclude_self:
                row[index] = -np.inf
            found[index] = _rank(row, relevant[index])
    return found


def _rank(scores: np.ndarray, relevant: np.ndarray) -> int:
    """Return the rank of the best relevant score, 0 when there is none; overwrites the relevant scores."""
    best = scores[relevant].max(initial=-np.inf)
    if best == -np.inf:
        return 0
    scores[relevant] = -np.inf
    return 1 + int(np.count_nonzero(scores >= best - np.float32(TIE_TOLERANCE)))


def row_statistics(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the per-row numerators and denominators whose quotient of sums is the score.

    ``predictions`` holds the (n, d) embeddings ``image`` and ``text``; row i of ``references`` has the ``text`` that
    was embedded, all ``captions`` right for the image, and the ``group``. The slice "" is the mean of R@1 from image
    to text and back; a direction in which no row has anything to find has no slice. Raises ValueError for input that
    cannot be scored.
    """
    found = ranks_by_direction(predictions, references)
    hits = {f"{name} R@{cutoff}": (one > 0) & (one <= cutoff) for name, one in found.items() for cutoff in CUTOFFS}
    both = (hits["image->text R@1"] + hits["text->image R@1"].astype(float)) / 2
    slices: Statistics = {"": (both, np.ones(len(references)))}
    for name, one in found.items():
        asked = (one > 0).astype(float)
        slices |= {f"{name} R@{cutoff}": (hits[f"{name} R@{cutoff}"].astype(float), asked) for cutoff in CUTOFFS}
        slices[f"{name} MRR"] = (asked / np.maximum(one, 1), asked)
    return slices


def weighted_scores(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, Functional]:
    """Return the median rank of each direction as a function of non-negative row weights (n,)."""
    return {f"{name} median rank": _median(one) for name, one in ranks_by_direction(predictions, references).items()}


def _median(found: np.ndarray) -> Functional:
    order = np.argsort(found, kind="stable")
    order = order[found[order] > 0]

    def median(weights: np.ndarray) -> float:
        """Return the median of the ranks, each as often as its weight says; NaN when all weights are 0."""
        mass = np.cumsum(weights[order])
        if not mass[-1]:
            return float("nan")
        middle = [np.searchsorted(mass, mass[-1] / 2, side=side) for side in ("left", "right")]
        return float(found[order[middle]].mean())

    return median


def ranks_by_direction(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the rank of each row (n,) in each direction, 0 where the row has nothing to find.

    Candidate texts are the distinct embedded texts. Images are relevant to each other when they share a group,
    texts when some row has both among its captions.
    """
    images, texts = _embeddings(predictions, references)
    place: dict[str, int] = {}
    text_of = np.array([place.setdefault(row["text"], len(place)) for row in references])
    texts = texts[np.unique(text_of, return_index=True)[1]]
    texts_of = [np.array([place[one] for one in row["captions"] if one in place], dtype=int) for row in references]
    for index, (text, captions) in enumerate(zip(text_of, texts_of, strict=True)):
        if text not in captions:
            raise ValueError(f"row {index}: its text {references[index]['text']!r} is not among its captions")
    images_of = _invert_index(texts_of, len(place))
    siblings = [np.unique(np.concatenate([texts_of[row] for row in rows])) for rows in images_of]
    _, group_of = np.unique([row["group"] for row in references], return_inverse=True)
    members = _invert_index(list(group_of[:, None]), int(group_of.max()) + 1)
    found = {
        "image->text": ranks(images, texts, texts_of),
        "text->image": ranks(texts, images, images_of)[text_of],
        "image->image": ranks(images, images, [members[group] for group in group_of], exclude_self=True),
        "text->text": ranks(texts, texts, siblings, exclude_self=True)[text_of],
    }
    return {name: one for name, one in found.items() if one.any()}


def _invert_index(sets: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Return, for each of ``count`` members, the indices of the sets that hold it."""
    members = np.concatenate(sets)
    holders = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    ends = np.cumsum(np.bincount(members, minlength=count))
    return np.split(holders[np.argsort(members, kind="stable")], ends[:-1])


def _embeddings(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the image and text embeddings, both (n, d); raises ValueError for what cannot be compared."""
    images, texts = np.asarray(predictions["image"]), np.asarray(predictions["text"])
    if not len(images) == len(texts) == len(references):
        raise ValueError(f"{len(images)} image and {len(texts)} text embeddings for {len(references)} references")
    if len(references) < 2:
        raise ValueError(f"retrieval needs at least 2 rows, not {len(references)}")
    if images.shape[1] != texts.shape[1]:
        raise ValueError(f"image embeddings have {images.shape[1]} dimensions, text embeddings {texts.shape[1]}")
    row_norms(images, "image")
    row_norms(texts, "text")
    return images, texts


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: all but ranks and their mean reciprocal."""
    return " R@" in group or not group


class Retrieval(evaluate.Metric):
    """The `evaluate` face: each row brings its two embeddings, its text, its captions and its group."""

    def _info(self) -> evaluate.MetricInfo:
        embedding, string = datasets.Sequence(datasets.Value("float32")), datasets.Value("string")
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: rows with the embeddings image and text; "
            "references: rows with the text, all right captions, and the group",
            features=datasets.Features(
                {
                    "predictions": {"image": embedding, "text": embedding},
                    "references": {"text": string, "captions": datasets.Sequence(string), "group": string},
                }
            ),
        )

    def _compute(self, predictions: list[dict[str, list[float]]], references: list[dict[str, Any]]) -> dict[str, float]:
        embeddings = {name: np.array([row[name] for row in predictions]) for name in ("image", "text")}
        scores = {
            name or "mean R@1": float(numerators.sum() / denominators.sum())
            for name, (numerators, denominators) in row_statistics(embeddings, references).items()
        }
        ones = np.ones(len(references))
        return scores | {name: median(ones) for name, median in weighted_scores(embeddings, references).items()}
