"""This model itself, its linear layers rounded to int8 and the rest to bf16, as `hfmm publish --int8-repo` sends it.

It is no simpler, so here coming near is as it should be: the distance is what a quarter of the bytes costs.
"""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm.models.common import int8
from hfmm.recipe.schema import Recipe
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

NAME = "int8 weights"
WEIGHTS = "tuned"


def require() -> None:
    """Raise UserError where torchao is missing."""
    int8.require_torchao("baselines: int8_weights")


def predict(recipe: Recipe, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction for each row of the test split, by the folder of the tuned model read into int8."""
    model, _ = int8.load(tuned.name_or_path)
    model.eval()
    return list(progress_bar(task.predict(model, data["test"], BATCH_SIZE), NAME, len(data["test"])))
