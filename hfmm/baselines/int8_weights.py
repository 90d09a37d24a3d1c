"""This model with linear layers quantized to int8 and the rest in bf16, as published by `hfmm publish --int8-repo`.

It is not a simpler model: the difference to the full model is the cost of storing a quarter of the bytes.
"""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm.models.common import int8
from hfmm.plan import Plan
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

NAME = "int8 weights"
WEIGHTS = "tuned"


def require() -> None:
    """Raise UserError if torchao is not installed."""
    int8.require_torchao("baselines: int8_weights")


def predict(plan: Plan, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction per test row, from the saved model quantized to int8."""
    model, _ = int8.load(tuned.name_or_path)
    model.eval()
    return list(progress_bar(task.predict(model, data["test"], BATCH_SIZE), NAME, len(data["test"])))
