"""Score any saved model of a supported kind on rows of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from datasets import ClassLabel, Dataset, DatasetDict, Features, List
from huggingface_hub import constants

from hfmm import data, registry
from hfmm.data import folder
from hfmm.data.common.screening import InvalidRow, drop_invalid_rows, require_columns
from hfmm.evaluation.evaluate import Records, score_records
from hfmm.evaluation.forgetting import align_label_ids
from hfmm.evaluation.predict import load_model_and_task, predict_rows
from hfmm.recipe.validation import validate
from hfmm.tasks import BaseTask, collect_references

Split = Literal["auto", "train", "validation", "test", "all"]


def load_user_rows(path: str, columns: Mapping[str, Any], split: Split = "auto") -> Dataset:
    """Return the rows of the user's own data that an evaluation scores; raises UserError if there are none."""
    options = validate(folder.FolderOptions, {"path": path, "columns": dict(columns)}, {}, prefix="data")
    return folder.load_rows(options, Path(constants.HF_HOME) / "hfmm" / "datasets", split)


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
    require_columns(task.required_columns, DatasetDict(test=rows))
    if "label" in task.required_columns:
        rows = align_label_ids(rows, Features({"label": _label_feature(task)}), "--data")
    validate_row = task.make_row_validator(task.family, model.config, task.processor, rows.features)
    on_invalid_row = "skip" if skip_invalid_rows else "error"
    valid, invalid_rows = drop_invalid_rows(validate_row, DatasetDict(test=rows), on_invalid_row)  # type: ignore[arg-type]
    test = valid["test"]
    predictions = predict_rows(task, model, test, "predict")
    references = collect_references(task, test, metric_modules.values())
    groups = [str(group) for group in test["group"][:]]
    records = score_records(metric_modules, task.metric_inputs(predictions), references, groups, seed, "tuned")
    return records, invalid_rows


def format_records(records: Records) -> list[str]:
    """Return a line for each record: the metric, its value and its interval, in the unit of the metric."""
    return [
        f"{' '.join(filter(None, (record['metric'], record['slice']))):<32} {record['value']:.4f}  "
        f"({record['ci95'][0]:.4f} to {record['ci95'][1]:.4f}, n={record['n']:,})"
        for record in records
    ]


def _label_feature(task: BaseTask) -> Any:
    names = [task.config.id2label[index] for index in range(len(task.config.id2label))]
    label = ClassLabel(names=names)
    return List(label) if task.config.problem_type == "multi_label_classification" else label
