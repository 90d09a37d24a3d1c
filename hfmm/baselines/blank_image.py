"""This model with every image replaced by a gray one: how far the questions alone go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset, DatasetDict
from PIL import Image

from hfmm.data.common.images import decode, encode
from hfmm.plan import Plan
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

NAME = "blank image"
WEIGHTS = "tuned"

GRAY = (128, 128, 128)


def predict(plan: Plan, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction per test row, with every image replaced by a gray one of the same size."""
    rows = data["test"]
    return list(progress_bar(task.predict(tuned, _with_blank_images(rows), BATCH_SIZE), NAME, len(rows)))


def _with_blank_images(rows: Dataset) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        yield {**row, "images": [encode(Image.new("RGB", decode(image).size, GRAY)) for image in row["images"]]}
