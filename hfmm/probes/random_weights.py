"""The same architecture with random weights, as chance has it."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm import models
from hfmm.probes.before_training import said_by
from hfmm.recipe import Recipe
from hfmm.tasks import TaskProtocol

CONDITION = "random weights"
WEIGHTS = "random"


def predict(recipe: Recipe, task: TaskProtocol, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, by weights drawn from the recipe's seed."""
    from transformers import set_seed

    set_seed(recipe.seed)
    fresh = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init": "random"})})
    return said_by(*models.load(fresh, data["train"].features, task.auto_class), task, data, CONDITION)
