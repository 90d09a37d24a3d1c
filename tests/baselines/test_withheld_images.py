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


class EchoTask:
    """A task that predicts the messages and the first image of each row."""

    def predict(self, model: Any, rows: Iterable[Any], batch_size: int) -> Iterator[dict[str, Any]]:
        assert model == "tuned"
        for row in rows:
            yield {"id": row["id"], "messages": row["messages"], "image": np.asarray(decode(row["images"][0]))}


def test_blank_images_are_gray_and_keep_size_and_questions(data: DatasetDict) -> None:
    predictions = blank_image.predict(PLAN, EchoTask(), "tuned", data)  # type: ignore[arg-type]
    assert [prediction["id"] for prediction in predictions] == data["test"]["id"][:]
    for prediction, row in zip(predictions, data["test"], strict=True):
        assert prediction["image"].shape == (32, 32, 3) and np.unique(prediction["image"]).size == 1
        assert prediction["messages"] == row["messages"]


def test_each_row_gets_the_image_of_another_row_once(data: DatasetDict) -> None:
    predictions = shuffled_image.predict(PLAN, EchoTask(), "tuned", data)  # type: ignore[arg-type]
    original = [decode(row["images"][0]).tobytes() for row in data["test"]]
    shuffled = [prediction["image"].tobytes() for prediction in predictions]
    assert sorted(shuffled) == sorted(original)
    assert all(image != other for image, other in zip(shuffled, original, strict=True))
    assert [prediction["messages"] for prediction in predictions] == data["test"]["messages"][:]


def test_indices_are_shuffled_among_rows_with_equal_counts() -> None:
    counts = [1, 2, 1, 2, 3, 1]
    indices = shuffled_image.shuffled_indices(counts, 0)
    assert [counts[index] for index in indices] == counts and sorted(indices) == list(range(6))
    assert [row for row, index in enumerate(indices) if row == index] == [4]
    assert shuffled_image.shuffled_indices(counts, 0) == indices


def test_color_answers_the_tense_and_not_the_verb(data: DatasetDict, tmp_path: Path) -> None:
    task = cast(BaseTask, ImageTextToTextTask.__new__(ImageTextToTextTask))
    predictions = colour_histogram.predict(PLAN, task, None, data)
    correct: dict[str, list[bool]] = {}
    for prediction, row in zip(predictions, data["test"], strict=True):
        reference = task.reference(row)
        for kind, answer, expected in zip(
            reference["kinds"], prediction["prediction"], reference["answers"], strict=True
        ):
            correct.setdefault(kind, []).append(answer == expected)
    assert np.mean(correct["tense"]) > 0.8
    assert np.mean(correct["lemma"]) < 0.3
