"""The checkpoint as it came, with a new head where it had none for this task."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm import models
from hfmm.progress import track
from hfmm.recipe import Recipe
from hfmm.tasks import BATCH_SIZE, TaskProtocol

CONDITION = "before training"
WEIGHTS = "base"


def predict(recipe: Recipe, task: TaskProtocol, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, by the weights and the processor of the checkpoint."""
    return said_by(*models.untouched(recipe, data["train"].features, task.auto_class), task, data, CONDITION)


def said_by(model: Any, processor: Any, task: TaskProtocol, data: DatasetDict, condition: str) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split by other weights, which bring their own processor."""
    model.eval()
    own = type(task)(model.config, processor, task.options)
    return list(track(own.predict(model, data["test"], BATCH_SIZE), condition, len(data["test"])))
