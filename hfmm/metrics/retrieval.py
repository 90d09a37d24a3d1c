"""Image-text retrieval: R@1, R@5, R@10, MRR and median rank in four directions.

Each query has a set of relevant candidates, not only its own pair: a text is relevant for every image that has it as a
caption. Can be loaded by path with ``evaluate.load("retrieval.py")``, without network and without hfmm. ``_norms.py``
and ``_scores.py`` must be in the same folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from ._norms import row_norms
from ._scores import ratio_scores

CUTOFFS = (1, 5, 10)
DIRECTIONS = ("image->text", "text->image", "image->image", "text->text")

GREATER_IS_BETTER = True
PERCENT = frozenset({"", *(f"{direction} R@{cutoff}" for direction in DIRECTIONS for cutoff in CUTOFFS)})
SUMMARY = "R@1, mean of image->text and text->image"  # describes the slice "" in a model card

BLOCK_ROWS = 1024  # queries per matrix product; fewer would not keep the CPU busy
BLOCK_FLOATS = 2**28  # at most 1 GiB of scores at a time, for any number of candidates
TIE_TOLERANCE = 1e-6  # BLAS cosines of equal vectors differ by this much at tile borders

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
Functional = Callable[[np.ndarray], float]


def ranks(
    queries: np.ndarray, candidates: np.ndarray, relevant: Sequence[np.ndarray], exclude_self: bool = False
) -> np.ndarray:
    """Return, for each query, the rank from 1 of its best relevant candidate among the irrelevant ones.

    ``queries`` `(num_queries, embedding_dim)` and ``candidates`` `(num_candidates, embedding_dim)` are compared by
    cosine in fp32. ``relevant[i]`` has the indices of the relevant candidates of query i. Queries can share one array.
    With ``exclude_self``, query i is candidate i and is ignored. A tie counts against the query, so constant embeddings
    retrieve nothing. A query without relevant candidates has rank 0. Beyond its input, the function needs memory for
    one copy of the candidates and one block of scores.
    """
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} dimensions, candidates {candidates.shape[1]}")
    query_norms = row_norms(queries, "query")
    unit_candidates = np.divide(candidates, row_norms(candidates, "candidate"), dtype=np.float32)
    step = max(1, min(BLOCK_ROWS, BLOCK_FLOATS // len(unit_candidates), len(queries)))
    buffer = np.empty((step, len(unit_candidates)), dtype=np.float32)
    query_ranks = np.zeros(len(queries), dtype=np.int64)
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        unit_queries = np.divide(queries[block], query_norms[block], dtype=np.float32)
        scores = np.matmul(unit_queries, unit_candidates.T, out=buffer[: len(unit_queries)])
        for index, query_scores in enumerate(scores, start):
            if exclude_self:
                query_scores[index] = -np.inf
            query_ranks[index] = _rank(query_scores, relevant[index])
    return query_ranks


def _rank(scores: np.ndarray, relevant: np.ndarray) -> int:
    """Return the rank of the best relevant score, or 0 if there is none. Overwrites the relevant scores."""
    best = scores[relevant].max(initial=-np.inf)
    if best == -np.inf:
        return 0
    scores[relevant] = -np.inf
    return 1 + int(np.count_nonzero(scores >= best - np.float32(TIE_TOLERANCE)))


def row_statistics(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the per-row numerators and denominators. The score is the ratio of their sums.

    ``predictions`` has the embeddings ``image`` and ``text``, both `(num_rows, embedding_dim)`. Row i of ``references``
    has the embedded ``text``, all ``captions`` of the image, and the ``group``. The slice "" is the mean R@1 of
    image->text and text->image. A direction in which no row has a relevant candidate has no slice. Raises ValueError
    for input that cannot be scored.
    """
    direction_ranks = ranks_by_direction(predictions, references)
    hits = {
        f"{direction} R@{cutoff}": (row_ranks > 0) & (row_ranks <= cutoff)
        for direction, row_ranks in direction_ranks.items()
        for cutoff in CUTOFFS
    }
    mean_hits = (hits["image->text R@1"] + hits["text->image R@1"].astype(float)) / 2
    slices: Statistics = {"": (mean_hits, np.ones(len(references)))}
    for direction, row_ranks in direction_ranks.items():
        has_relevant = (row_ranks > 0).astype(float)
        for cutoff in CUTOFFS:
            slices[f"{direction} R@{cutoff}"] = (hits[f"{direction} R@{cutoff}"].astype(float), has_relevant)
        slices[f"{direction} MRR"] = (has_relevant / np.maximum(row_ranks, 1), has_relevant)
    return slices


def weighted_scores(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, Functional]:
    """Return the median rank of each direction as a function of non-negative row weights `(num_rows,)`."""
    direction_ranks = ranks_by_direction(predictions, references)
    return {f"{direction} median rank": _median(row_ranks) for direction, row_ranks in direction_ranks.items()}


def _median(row_ranks: np.ndarray) -> Functional:
    order = np.argsort(row_ranks, kind="stable")
    order = order[row_ranks[order] > 0]

    def median(weights: np.ndarray) -> float:
        """Return the median rank with each row counted as often as its weight, or NaN if all weights are 0."""
        cumulative = np.cumsum(weights[order])
        if not cumulative[-1]:
            return float("nan")
        middle = [np.searchsorted(cumulative, cumulative[-1] / 2, side=side) for side in ("left", "right")]
        return float(row_ranks[order[middle]].mean())

    return median


def ranks_by_direction(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the rank of each row in each direction, `(num_rows,)`. It is 0 if the row has no relevant candidate.

    Candidate texts are the distinct embedded texts. Two images are relevant to each other if they share a group, two
    texts if they are captions of the same row.
    """
    images, texts = _embeddings(predictions, references)
    id_of_text: dict[str, int] = {}
    text_ids = np.array([id_of_text.setdefault(row["text"], len(id_of_text)) for row in references])
    texts = texts[np.unique(text_ids, return_index=True)[1]]
    caption_ids = [
        np.array([id_of_text[caption] for caption in row["captions"] if caption in id_of_text], dtype=int)
        for row in references
    ]
    for index, (text_id, row_caption_ids) in enumerate(zip(text_ids, caption_ids, strict=True)):
        if text_id not in row_caption_ids:
            raise ValueError(f"row {index}: its text {references[index]['text']!r} is not among its captions")
    images_of_text = _invert_index(caption_ids, len(id_of_text))
    related_texts = [np.unique(np.concatenate([caption_ids[row] for row in rows])) for rows in images_of_text]
    _, group_ids = np.unique([row["group"] for row in references], return_inverse=True)
    images_of_group = _invert_index(list(group_ids[:, None]), int(group_ids.max()) + 1)
    direction_ranks = {
        "image->text": ranks(images, texts, caption_ids),
        "text->image": ranks(texts, images, images_of_text)[text_ids],
        "image->image": ranks(images, images, [images_of_group[group] for group in group_ids], exclude_self=True),
        "text->text": ranks(texts, texts, related_texts, exclude_self=True)[text_ids],
    }
    return {direction: row_ranks for direction, row_ranks in direction_ranks.items() if row_ranks.any()}


def _invert_index(sets: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Return, for each of ``count`` members, the indices of the sets that contain it."""
    members = np.concatenate(sets)
    set_indices = np.repeat(np.arange(len(sets)), [len(members_of_set) for members_of_set in sets])
    ends = np.cumsum(np.bincount(members, minlength=count))
    return np.split(set_indices[np.argsort(members, kind="stable")], ends[:-1])


def _embeddings(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of images and texts, `(num_rows, embedding_dim)`. Raises ValueError if they do not fit."""
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


class Retrieval(evaluate.Metric):
    """The `evaluate` metric. Each row has its two embeddings, its text, its captions and its group."""

    def _info(self) -> evaluate.MetricInfo:
        embedding, string = datasets.Sequence(datasets.Value("float32")), datasets.Value("string")
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: rows with the embeddings image and text; "
            "references: rows with the text, all captions of the image, and the group",
            features=datasets.Features(
                {
                    "predictions": {"image": embedding, "text": embedding},
                    "references": {"text": string, "captions": datasets.Sequence(string), "group": string},
                }
            ),
        )

    def _compute(self, predictions: list[dict[str, list[float]]], references: list[dict[str, Any]]) -> dict[str, float]:
        embeddings = {name: np.array([row[name] for row in predictions]) for name in ("image", "text")}
        scores = ratio_scores(row_statistics(embeddings, references), overall="mean R@1")
        ones = np.ones(len(references))
        return scores | {name: median(ones) for name, median in weighted_scores(embeddings, references).items()}
