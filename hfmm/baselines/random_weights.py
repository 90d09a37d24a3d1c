"""The same architecture with random weights, as chance has it."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm import models
from hfmm.baselines.pretrained import predict_with
from hfmm.recipe.schema import Recipe
from hfmm.tasks import BaseTask

NAME = "random weights"
WEIGHTS = "random"


def predict(recipe: Recipe, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, by weights drawn from the recipe's seed."""
    from transformers import set_seed

    set_seed(recipe.seed)
    fresh = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init": "random"})})
    return predict_with(*models.load(fresh, data["train"].features, task.auto_class), task, data, NAME)
