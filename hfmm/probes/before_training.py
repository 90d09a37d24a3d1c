"""The weights that training started from, with this recipe's head."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm import models
from hfmm.progress import track
from hfmm.recipe import Recipe
from hfmm.tasks import TaskProtocol

CONDITION = "before training"
WEIGHTS = "base"

BATCH_SIZE = 32


def predict(recipe: Recipe, task: TaskProtocol, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, by the weights that training starts from."""
    model, _ = models.load(recipe, data["train"].features, task.auto_class)
    model.eval()
    return list(track(task.predict(model, data["test"], BATCH_SIZE), CONDITION, len(data["test"])))
