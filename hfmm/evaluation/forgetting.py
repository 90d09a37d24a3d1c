"""Forgetting: datasets that the recipe does not train on, predicted with the original and with the tuned weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset, DatasetDict, Features

from hfmm import data
from hfmm.data.common.labels import is_multi_attribute, label_names
from hfmm.data.common.screening import InvalidRow
from hfmm.errors import UserError
from hfmm.evaluation.predict import predict_rows
from hfmm.plan import Plan
from hfmm.recipe.schema import Data
from hfmm.tasks import BaseTask

MAX_NAMES = 30  # class names in a message


class OtherDatasetPredictions(NamedTuple):
    """The test rows of one dataset of ``forgetting``, and the predictions of one set of weights."""

    name: str  # that of its builder, numbered if several datasets have the same builder
    weights: str  # base or tuned
    rows: Dataset
    fingerprint: str
    invalid_rows: list[InvalidRow]
    predictions: list[dict[str, Any]]


def predict_before_and_after(
    plan: Plan, task: BaseTask, model: Any, features: Features, cache: Path
) -> Iterator[OtherDatasetPredictions]:
    """Yield the predictions before and after training, for the test rows of each dataset of ``forgetting``.

    Args:
        plan: The plan of the run.
        task: The task of the tuned model.
        model: The tuned model.
        features: The features of the training rows.
        cache: The folder in which the datasets are built.

    Raises:
        UserError: A row cannot be used and must not be skipped, or a dataset has classes that the model does not have.
    """
    recipe = plan.recipe
    for index, (data_options, name) in enumerate(zip(recipe.forgetting, dataset_names(recipe.forgetting), strict=True)):
        key = f"forgetting.{index}"
        splits = data.build(data_options, recipe.key_locations, cache / f"forgetting-{index}", prefix=key)
        test = splits["test"]
        if "label" in plan.task_class.required_columns and "label" in test.column_names:
            test = align_label_ids(test, features, key)
        checked = plan.check_rows(DatasetDict(test=test), data_options)
        rows = checked.splits["test"]
        original_model, processor = plan.model.load_original(features, recipe.seed)
        original_task = plan.make_task(original_model, processor)
        candidates = (("base", original_task, original_model.eval()), ("tuned", task, model))
        for weights, candidate_task, candidate in candidates:
            predictions = predict_rows(candidate_task, candidate, rows, f"predict {name}, {weights}")
            yield OtherDatasetPredictions(name, weights, rows, checked.fingerprint, checked.invalid_rows, predictions)


def align_label_ids(rows: Dataset, features: Features, key: str) -> Dataset:
    """Return the rows with their labels numbered as in ``features``, matched by name.

    Args:
        rows: The rows of another dataset.
        features: The features of the training rows.
        key: The recipe key of the rows, for the message.

    Raises:
        UserError: The rows have classes that ``features`` do not have.
    """
    if rows.features["label"] == features["label"]:
        return rows
    names, known_names = label_names(rows.features), label_names(features)
    multi_label = is_multi_attribute(features)
    unknown = [name for name in names if name not in known_names or is_multi_attribute(rows.features) != multi_label]
    if unknown:
        raise UserError(
            f"{key}: the dataset has the classes {_join_names(unknown)}. The model predicts "
            f"{'several' if multi_label else 'one'} of {_join_names(known_names)}. Remove the rows of other "
            "classes, or the dataset."
        )
    new_ids = {old_id: known_names.index(name) for old_id, name in enumerate(names)}
    column = rows["label"][:]
    labels = (
        [[new_ids.get(label) for label in row_labels or ()] for row_labels in column]
        if multi_label
        else [new_ids.get(label) for label in column]
    )
    return rows.remove_columns("label").add_column("label", labels, feature=features["label"])


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")


def dataset_names(datasets: Sequence[Data]) -> list[str]:
    """Return the name of each dataset in scores and card: its builder, numbered if the builder occurs several times."""
    builders = [data_options.builder for data_options in datasets]
    return [
        builder if builders.count(builder) == 1 else f"{builder} {builders[: index + 1].count(builder)}"
        for index, builder in enumerate(builders)
    ]
