"""This model with the images of another row: how far it gets without seeing the right image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from hfmm.plan import Plan
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

NAME = "shuffled image"
WEIGHTS = "tuned"


def predict(plan: Plan, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction per test row, with the images of another row drawn with the seed of the recipe."""
    rows = data["test"]
    return list(
        progress_bar(task.predict(tuned, _with_shuffled_images(rows, plan.recipe.seed), BATCH_SIZE), NAME, len(rows))
    )


def shuffled_indices(counts: list[int], seed: int) -> list[int]:
    """Return, for each row, the index of another row with the same number of images.

    Every index is used once. A row that is the only one with its number of images keeps its own.

    Args:
        counts: The number of images of each row.
        seed: The seed of the permutation.

    Returns:
        A permutation of the row indices.
    """
    indices = list(range(len(counts)))
    order = np.random.default_rng(seed).permutation(len(counts)).tolist()
    for count in set(counts):
        cycle = [row for row in order if counts[row] == count]
        for row, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            indices[row] = other
    return indices


def _with_shuffled_images(rows: Dataset, seed: int) -> Iterator[Mapping[str, Any]]:
    images = rows["images"][:]
    for row, other in zip(rows, shuffled_indices([len(row_images) for row_images in images], seed), strict=True):
        yield {**row, "images": images[other]}
