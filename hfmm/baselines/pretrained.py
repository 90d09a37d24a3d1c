"""The checkpoint before fine-tuning, with a randomly initialized head if it has none for this task."""

from __future__ import annotations

from typing import Any

from datasets import DatasetDict

from hfmm.plan import Plan
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

NAME = "pretrained checkpoint"
WEIGHTS = "base"


def predict(plan: Plan, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return one prediction per test row, from the weights and the processor of the checkpoint."""
    model, processor = plan.model.load_original(data["train"].features, plan.recipe.seed)
    return predict_with(model, processor, plan, data, NAME)


def predict_with(model: Any, processor: Any, plan: Plan, data: DatasetDict, description: str) -> list[dict[str, Any]]:
    """Return one prediction per test row, from other weights and their own processor.

    Args:
        model: The model of the baseline, a `PreTrainedModel`.
        processor: The processor of that model.
        plan: The plan of the run, which makes the task.
        data: The dataset with its split "test".
        description: The label of the progress bar.

    Returns:
        The predictions, in the order of the rows.
    """
    task, test = plan.make_task(model.eval(), processor), data["test"]
    return list(progress_bar(task.predict(model, test, BATCH_SIZE), description, len(test)))
