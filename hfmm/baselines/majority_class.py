"""The most frequent class of the training split, and of each attribute if the labels have several."""

from __future__ import annotations

from collections import Counter
from typing import Any

from datasets import DatasetDict

from hfmm.data.common.labels import attribute_of
from hfmm.errors import UserError
from hfmm.plan import Plan
from hfmm.tasks import BaseTask, collect_references

NAME = "majority class"


def predict(plan: Plan, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Return the same labels for every test row; raises UserError for a task whose references are not lists of labels.

    Of classes that are equally frequent it is the first in alphabetical order.
    """
    references = collect_references(task, data["train"])
    if not isinstance(references[0], list):
        raise UserError(
            f"baselines: majority_class needs a task that predicts labels, and {plan.recipe.task.name} does not. "
            "Remove it."
        )
    has_attributes = len(references[0]) > 1  # otherwise a colon in a class name means nothing
    counts: dict[str, Counter[str]] = {}
    for reference in references:
        for label in reference:
            counts.setdefault(attribute_of(label) if has_attributes else "", Counter())[label] += 1
    prediction = [min(counter, key=lambda label: (-counter[label], label)) for counter in counts.values()]
    return [{"prediction": prediction} for _ in range(len(data["test"]))]
