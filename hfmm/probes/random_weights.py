"""The same architecture with random weights, as chance has it."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm.probes import before_training
from hfmm.recipe import Recipe
from hfmm.tasks import TaskProtocol

CONDITION = "random weights"
WEIGHTS = "random"


def predict(recipe: Recipe, task: TaskProtocol, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, by weights drawn from the recipe's seed."""
    from transformers import set_seed

    set_seed(recipe.seed)
    fresh = recipe.model.model_copy(update={"init": "random"})
    return before_training.predict(recipe.model_copy(update={"model": fresh}), task, tuned, data)
