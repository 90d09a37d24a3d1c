"""The same architecture with random weights, which shows the chance level."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm.baselines.pretrained import predict_with
from hfmm.plan import Plan
from hfmm.tasks import BaseTask

NAME = "random weights"
WEIGHTS = "random"


def predict(plan: Plan, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction per test row, from weights initialized with the seed of the recipe."""
    from transformers import set_seed

    set_seed(plan.recipe.seed)
    model, processor = plan.model.load(data["train"].features, init="random")
    return predict_with(model, processor, plan, data, NAME)
