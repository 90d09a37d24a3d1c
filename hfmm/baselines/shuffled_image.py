"""This model asked the same questions about another row's pictures: what it answers without looking at its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from hfmm.recipe.schema import Recipe
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

NAME = "another row's image"
WEIGHTS = "tuned"


def predict(recipe: Recipe, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, asked about the pictures of a row drawn by the seed."""
    rows = data["test"]
    return list(
        progress_bar(task.predict(tuned, _with_shuffled_images(rows, recipe.seed), BATCH_SIZE), NAME, len(rows))
    )


def shuffled_indices(counts: list[int], seed: int) -> list[int]:
    """Return, for each row, another that has as many pictures (``counts``); a row that is alone in that keeps its own.

    Each row lends its pictures once.
    """
    found = list(range(len(counts)))
    order = np.random.default_rng(seed).permutation(len(counts)).tolist()
    for count in set(counts):
        ring = [row for row in order if counts[row] == count]
        for row, lender in zip(ring, [*ring[1:], ring[0]], strict=True):
            found[row] = lender
    return found


def _with_shuffled_images(rows: Dataset, seed: int) -> Iterator[Mapping[str, Any]]:
    pictures = rows["images"][:]
    for row, lender in zip(rows, shuffled_indices([len(own) for own in pictures], seed), strict=True):
        yield {**row, "images": pictures[lender]}
