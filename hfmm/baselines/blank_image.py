"""This model asked the same questions about grey pictures: what the questions alone give away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset, DatasetDict
from PIL import Image

from hfmm.data.common.images import decode, encode
from hfmm.recipe.schema import Recipe
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

NAME = "image blanked"
WEIGHTS = "tuned"

GREY = (128, 128, 128)


def predict(recipe: Recipe, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, its pictures as large as they were and all grey."""
    rows = data["test"]
    return list(progress_bar(task.predict(tuned, _blanked(rows), BATCH_SIZE), NAME, len(rows)))


def _blanked(rows: Dataset) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        yield {**row, "images": [encode(Image.new("RGB", decode(one).size, GREY)) for one in row["images"]]}
