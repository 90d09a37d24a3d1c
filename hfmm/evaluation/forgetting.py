"""Data that a recipe does not train on, scored with the checkpoint's weights and with the tuned ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset, DatasetDict, Features

from hfmm import data, models
from hfmm.data.common.labels import is_multi_attribute, label_names
from hfmm.data.common.screening import InvalidRow, drop_invalid_rows, require_columns
from hfmm.errors import UserError
from hfmm.recipe.schema import Data, Recipe
from hfmm.tasks import BATCH_SIZE, BaseTask
from hfmm.utils.progress import progress_bar

MAX_NAMES = 30  # class names in a message


class OtherDatasetPredictions(NamedTuple):
    """The rows of one dataset of `forgetting`, and what one set of weights says of them."""

    name: str  # its builder's, numbered where it is not the only one of it
    weights: str  # base or tuned
    rows: Dataset
    fingerprint: str
    skipped: list[InvalidRow]
    predictions: list[dict[str, Any]]


def predict_before_and_after(
    recipe: Recipe, task: BaseTask, tuned: Any, features: Features, cache: Path
) -> Iterator[OtherDatasetPredictions]:
    """Yield, for each dataset of the recipe's `forgetting`, the predictions for its test rows before and after.

    ``features`` are those of the training rows. Raises UserError for a row that cannot be used, unless the dataset is
    to skip it, and for a dataset of classes that the model does not tell.
    """
    for index, (spec, name) in enumerate(zip(recipe.forgetting, dataset_names(recipe.forgetting), strict=True)):
        built = data.build(spec, recipe.key_locations, cache / f"elsewhere-{index}", prefix=f"elsewhere.{index}")
        config, processor = models.load_processor(recipe, task.auto_class)
        require_columns(task.required_columns, built)
        test = built["test"]
        if "label" in task.required_columns:
            test = align_label_ids(test, features, f"elsewhere.{index}")
        screened, bad = drop_invalid_rows(
            task.make_row_validator(config, processor, test.features), DatasetDict(test=test), spec.on_invalid_row
        )
        rows, fingerprint = screened["test"], data.fingerprint(screened)
        base, own = models.load_original(recipe, features, task.auto_class)
        before = type(task)(base.config, own, task.options)
        for weights, asked, model in (("base", before, base.eval()), ("tuned", task, tuned)):
            said = progress_bar(asked.predict(model, rows, BATCH_SIZE), f"predict {name}, {weights}", len(rows))
            yield OtherDatasetPredictions(name, weights, rows, fingerprint, bad, list(said))


def align_label_ids(rows: Dataset, features: Features, where: str) -> Dataset:
    """Return the rows with their labels numbered as in ``features``, so that a number means the class of its name.

    Raises UserError for classes that ``features`` do not have; ``where`` is the recipe's key of the rows.
    """
    if rows.features["label"] == features["label"]:
        return rows
    theirs, known, several = label_names(rows.features), label_names(features), is_multi_attribute(features)
    unknown = [name for name in theirs if name not in known or is_multi_attribute(rows.features) != several]
    if unknown:
        raise UserError(
            f"{where}: it has the classes {_join_names(unknown)}, and the model tells {'several' if several else 'one'} of "
            f"{_join_names(known)}. Leave out the rows of other classes, or the dataset."
        )
    numbers = {number: known.index(name) for number, name in enumerate(theirs)}  # a label that is none of them has none
    old = rows["label"][:]
    labels = [[numbers.get(one) for one in row or ()] for row in old] if several else [numbers.get(row) for row in old]
    return rows.remove_columns("label").add_column("label", labels, feature=features["label"])


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")


def dataset_names(datasets: Sequence[Data]) -> list[str]:
    """Return what scores and card call each dataset: its builder, numbered where it is not the only one of it."""
    builders = [one.builder for one in datasets]
    return [
        one if builders.count(one) == 1 else f"{one} {builders[: place + 1].count(one)}"
        for place, one in enumerate(builders)
    ]
