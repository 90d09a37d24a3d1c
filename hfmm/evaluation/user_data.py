"""Score any saved model of a supported kind on rows of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from datasets import ClassLabel, Dataset, DatasetDict, Features, List

from hfmm import data, registry
from hfmm.data import folder
from hfmm.data.common.cache import cache_folder
from hfmm.data.common.screening import InvalidRow
from hfmm.evaluation.evaluate import Records, score_rows
from hfmm.evaluation.forgetting import align_label_ids
from hfmm.evaluation.predict import load_model_and_task, predict_rows
from hfmm.recipe.validation import validate
from hfmm.tasks import BaseTask

Split = Literal["auto", "train", "validation", "test", "all"]


def load_user_rows(path: str, columns: Mapping[str, Any], split: Split = "auto") -> Dataset:
    """Return the rows of the user's own data that an evaluation scores; raises UserError if there are none."""
    options = validate(folder.FolderOptions, {"path": path, "columns": dict(columns)}, {}, prefix="data")
    return folder.load_rows(options, cache_folder("datasets"), split)


def evaluate_on_rows(
    model_folder: Path,
    rows: Dataset,
    metrics: Sequence[str] = (),
    skip_invalid_rows: bool = False,
    seed: int = 0,
) -> tuple[Records, list[InvalidRow]]:
    """Score a saved model on the rows of a dataset.

    Args:
        model_folder: The folder of a model that plain transformers loads. Its task is found by the ``pipeline_tag`` of
            its card, or by ``architectures`` in its config.
        rows: Rows with the columns of the task. Labels are matched with those of the model by name.
        metrics: The metrics; by default those of the task.
        skip_invalid_rows: Leave out rows that cannot be used, instead of raising.
        seed: The seed of the bootstrap intervals.

    Returns:
        One record for each slice of each metric, as in ``results.json``, and the rows that were left out.

    Raises:
        UserError: The model or the rows cannot be used.
    """
    model, task = load_model_and_task(model_folder)
    metric_modules = {name: registry.get("metrics", name) for name in metrics or task.default_metrics}
    rows = data.disable_media_decoding(DatasetDict(train=rows))["train"]
    if "label" in task.required_columns and "label" in rows.column_names:
        rows = align_label_ids(rows, Features({"label": _label_feature(task)}), "--data")
    valid, invalid_rows = task.drop_invalid_rows(
        task.family,
        model.config,
        task.processor,
        DatasetDict(test=rows),
        "skip" if skip_invalid_rows else "error",
    )
    predictions = predict_rows(task, model, valid["test"], "predict")
    return score_rows(task, metric_modules, valid["test"], predictions, seed, "tuned"), invalid_rows


def format_records(records: Records) -> list[str]:
    """Return a line for each record: the metric, its value and its interval, as they are recorded."""
    return [
        f"{' '.join(filter(None, (record['metric'], record['slice']))):<32} {record['value']:.4f}  "
        f"({record['ci95'][0]:.4f} to {record['ci95'][1]:.4f}, n={record['n']:,})"
        for record in records
    ]


def _label_feature(task: BaseTask) -> Any:
    names = [task.config.id2label[index] for index in range(len(task.config.id2label))]
    label = ClassLabel(names=names)
    return List(label) if task.config.problem_type == "multi_label_classification" else label
