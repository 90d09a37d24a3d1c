"""The same architecture with random weights, as chance has it."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm import models
from hfmm.progress import track
from hfmm.recipe import Recipe
from hfmm.tasks import BATCH_SIZE, TaskProtocol

CONDITION = "random weights"
WEIGHTS = "random"


def predict(recipe: Recipe, task: TaskProtocol, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, by weights drawn from the recipe's seed."""
    from transformers import set_seed

    set_seed(recipe.seed)
    fresh = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init": "random"})})
    model, processor = models.load(fresh, data["train"].features, task.auto_class)
    model.eval()
    own = type(task)(model.config, processor, task.options)
    return list(track(own.predict(model, data["test"], BATCH_SIZE), CONDITION, len(data["test"])))
