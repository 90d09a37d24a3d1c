"""Data that a recipe does not train on, scored with the checkpoint's weights and with the tuned ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset, DatasetDict

from hfmm import data, models
from hfmm.progress import track
from hfmm.recipe import Data, Recipe
from hfmm.tasks import BATCH_SIZE, TaskProtocol
from hfmm.tasks.preflight import BadRow, require_columns, screen


class Elsewhere(NamedTuple):
    """The rows of one dataset of `elsewhere`, and what one set of weights says of them."""

    name: str  # its builder's, numbered where it is not the only one of it
    weights: str  # base or tuned
    rows: Dataset
    skipped: list[BadRow]
    predictions: list[dict[str, Any]]


def predict(recipe: Recipe, task: TaskProtocol, tuned: Any, cache: Path) -> Iterator[Elsewhere]:
    """Yield, for each dataset of the recipe's `elsewhere`, the predictions for its test rows before and after.

    Raises UserError for a row that cannot be used, unless the dataset is to skip it.
    """
    for index, (spec, name) in enumerate(zip(recipe.elsewhere, names(recipe.elsewhere), strict=True)):
        built = data.build(spec, recipe.origins, cache / f"elsewhere-{index}", prefix=f"elsewhere.{index}")
        config, processor = models.processor(recipe, task.auto_class)
        require_columns(task.columns, built)
        check = task.checker(config, processor, built["test"].features)
        screened, bad = screen(check, DatasetDict(test=built["test"]), spec.on_bad_row)
        rows = screened["test"]
        base, own = models.untouched(recipe, built["train"].features, task.auto_class)
        before = type(task)(base.config, own, task.options)
        for weights, asked, model in (("base", before, base.eval()), ("tuned", task, tuned)):
            said = track(asked.predict(model, rows, BATCH_SIZE), f"predict {name}, {weights}", len(rows))
            yield Elsewhere(name, weights, rows, bad, list(said))


def names(datasets: Sequence[Data]) -> list[str]:
    """Return what scores and card call each dataset: its builder, numbered where it is not the only one of it."""
    builders = [one.builder for one in datasets]
    return [
        one if builders.count(one) == 1 else f"{one} {builders[: place + 1].count(one)}"
        for place, one in enumerate(builders)
    ]
