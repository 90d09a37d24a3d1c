"""The tasks, one a file: how the rows of a dataset become a batch, a loss and predictions.

In a recipe, ``task: NAME`` means `hfmm/tasks/NAME.py`. A task module defines a subclass of `BaseTask` and names it:
``TASK = MyTask``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from hfmm import registry
from hfmm.errors import UserError
from hfmm.tasks.base import BATCH_SIZE, IGNORE_INDEX, BaseTask, Prediction, RecordedPrediction

__all__ = [
    "BATCH_SIZE",
    "IGNORE_INDEX",
    "BaseTask",
    "Prediction",
    "RecordedPrediction",
    "collect_references",
    "find_task_by_pipeline_tag",
]


def collect_references(task: BaseTask, rows: Any, metrics: Iterable[ModuleType] = ()) -> list[Any]:
    """Return the reference of each row, with the columns that the metrics read.

    Args:
        task: The task.
        rows: A dataset. Columns that nobody reads are not loaded.
        metrics: Metric modules. One with ``REFERENCE_COLUMNS`` gets these columns in each reference, as far as the
            dataset has them. One with ``derive_reference(row)`` gets what that returns.
    """
    modules = list(metrics)
    passed_through = {name for metric in modules for name in getattr(metric, "REFERENCE_COLUMNS", ())}
    columns = {*(task.target_columns or task.required_columns), *passed_through} & {*rows.features}
    derived = [metric.derive_reference for metric in modules if hasattr(metric, "derive_reference")]
    references = []
    for row in rows.select_columns([name for name in rows.features if name in columns]):
        reference = task.reference(row)
        if isinstance(reference, dict):
            reference = reference | {name: row[name] for name in sorted(passed_through) if name in row}
            for derive in derived:
                reference |= derive(row)
        references.append(reference)
    return references


def find_task_by_pipeline_tag(tag: str) -> type[BaseTask]:
    """Return the built-in task whose models have a pipeline tag; raises UserError if there is none."""
    tasks: Sequence[type[BaseTask]] = [module.TASK for module in registry.load_all("tasks").values()]
    for task in tasks:
        if task.pipeline_tag == tag:
            return task
    tags = ", ".join(task.pipeline_tag for task in tasks)
    raise UserError(f"No task of hfmm supports {tag!r} models. The supported pipeline tags are {tags}.")
