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
    model, processor = models.untouched(recipe, data["train"].features, task.auto_class)
    model.eval()
    own = type(task)(model.config, processor, task.options)
    return list(track(own.predict(model, data["test"], BATCH_SIZE), CONDITION, len(data["test"])))
