"""The checkpoint as it came, with a new head where it had none for this task."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm import models
from hfmm.recipe.schema import Recipe
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

NAME = "before training"
WEIGHTS = "base"


def predict(recipe: Recipe, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, by the weights and the processor of the checkpoint."""
    return predict_with(*models.load_original(recipe, data["train"].features, task.auto_class), task, data, NAME)


def predict_with(model: Any, processor: Any, task: BaseTask, data: DatasetDict, condition: str) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split by other weights, which bring their own processor."""
    model.eval()
    own = type(task)(model.config, processor, task.options)
    return list(progress_bar(own.predict(model, data["test"], BATCH_SIZE), condition, len(data["test"])))
