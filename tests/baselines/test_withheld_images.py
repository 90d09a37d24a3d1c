from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from datasets import DatasetDict

from hfmm.baselines import blank_image, colour_histogram, shuffled_image
from hfmm.data import disable_media_decoding, visual_questions
from hfmm.data.common.images import decode
from hfmm.plan import Plan
from hfmm.recipe.schema import Recipe
from hfmm.tasks import BaseTask
from hfmm.tasks.image_text_to_text import ImageTextToTextTask

RECIPE = Recipe.model_validate(
    {
        "name": "x",
        "task": "x",
        "data": {"builder": "x"},
        "model": {"checkpoint": "x"},
        "stages": [{"name": "x", "trainable": "all", "num_train_epochs": 1, "learning_rate": 1}],
        "metrics": ["x"],
    }
)
PLAN = Plan(RECIPE, ImageTextToTextTask, ImageTextToTextTask.Options(), {}, {})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    options = visual_questions.VisualQuestionsOptions(
        train=240, validation=1, test=60, hold_out="row", size=32, image_kinds="icons", full_sentences=False
    )
    return disable_media_decoding(visual_questions.build(options, tmp_path_factory.mktemp("data")))


class Eyes:
    """A task whose predictions are what the model is shown."""

    def predict(self, model: Any, rows: Iterable[Any], batch_size: int) -> Iterator[dict[str, Any]]:
        assert model == "tuned"
        for row in rows:
            yield {"id": row["id"], "asked": row["messages"], "seen": np.asarray(decode(row["images"][0]))}


def test_blanked_pictures_are_grey_and_as_large_and_the_questions_stay(data: DatasetDict) -> None:
    shown = blank_image.predict(PLAN, Eyes(), "tuned", data)  # type: ignore[arg-type]
    assert [one["id"] for one in shown] == data["test"]["id"][:]
    for one, row in zip(shown, data["test"], strict=True):
        assert one["seen"].shape == (32, 32, 3) and np.unique(one["seen"]).size == 1
        assert one["asked"] == row["messages"]


def test_each_row_is_shown_the_picture_of_another_and_each_picture_once(data: DatasetDict) -> None:
    shown = shuffled_image.predict(PLAN, Eyes(), "tuned", data)  # type: ignore[arg-type]
    own = [decode(row["images"][0]).tobytes() for row in data["test"]]
    seen = [one["seen"].tobytes() for one in shown]
    assert sorted(seen) == sorted(own) and all(one != other for one, other in zip(seen, own, strict=True))
    assert [one["asked"] for one in shown] == data["test"]["messages"][:]


def test_rows_lend_pictures_to_those_that_have_as_many() -> None:
    counts = [1, 2, 1, 2, 3, 1]
    found = shuffled_image.shuffled_indices(counts, 0)
    assert [counts[row] for row in found] == counts and sorted(found) == list(range(6))
    assert [row for row, lender in enumerate(found) if row == lender] == [4]
    assert shuffled_image.shuffled_indices(counts, 0) == found


def test_colour_answers_which_tense_and_not_which_verb(data: DatasetDict, tmp_path: Path) -> None:
    task = cast(BaseTask, ImageTextToTextTask.__new__(ImageTextToTextTask))
    predictions = colour_histogram.predict(PLAN, task, None, data)
    right: dict[str, list[bool]] = {}
    for one, row in zip(predictions, data["test"], strict=True):
        true = task.reference(row)
        for kind, said, answer in zip(true["kinds"], one["prediction"], true["answers"], strict=True):
            right.setdefault(kind, []).append(said == answer)
    assert np.mean(right["tense"]) > 0.8
    assert np.mean(right["lemma"]) < 0.3
