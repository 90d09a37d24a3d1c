from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features

from hfmm.baselines import majority_class
from hfmm.data import disable_media_decoding, icons
from hfmm.data.common.labels import label_names
from hfmm.errors import UserError
from hfmm.tasks.audio_classification import AudioClassificationTask
from hfmm.tasks.image_classification import ImageClassificationTask

PLAN: Any = SimpleNamespace(recipe=SimpleNamespace(task=SimpleNamespace(name="contrastive")))


class LabelTask:
    """A task whose reference is the class of a row."""

    target_columns = ("label",)
    names = ("b: x", "a: x", "c: x")
    reference = AudioClassificationTask.reference


@pytest.mark.parametrize(
    ("labels", "expected"), [([0, 1, 1, 2], "a: x"), ([0, 0, 1, 1, 2], "a: x"), ([2, 0, 2], "c: x")]
)
def test_prediction_is_the_most_frequent_class(labels: list[int], expected: str) -> None:
    features = Features({"label": ClassLabel(names=list(LabelTask.names))})
    train, test = (Dataset.from_dict({"label": column}, features=features) for column in (labels, [0, 0, 0]))
    task: Any = LabelTask()
    predictions = majority_class.predict(PLAN, task, None, DatasetDict(train=train, test=test))
    assert predictions == [{"prediction": [expected]}] * 3


def test_each_attribute_has_its_most_frequent_value(tmp_path: Path) -> None:
    options = icons.IconsOptions(train=50, validation=1, test=3, hold_out="row", size=32)
    data = disable_media_decoding(icons.build(options, tmp_path))
    config = SimpleNamespace(
        id2label=dict(enumerate(label_names(data["train"].features))), problem_type="multi_label_classification"
    )
    task = ImageClassificationTask(config, None, ImageClassificationTask.Options())
    predictions = majority_class.predict(PLAN, task, None, data)
    references = [task.reference(row) for row in data["train"]]
    assert len(predictions) == 3 and all(prediction == predictions[0] for prediction in predictions)
    for position, label in enumerate(predictions[0]["prediction"]):
        counts = {row[position]: 0 for row in references}
        for row in references:
            counts[row[position]] += 1
        assert counts[label] == max(counts.values())


def test_task_without_labels_is_rejected() -> None:
    class TextTask(LabelTask):
        def reference(self, row: Any) -> dict[str, Any]:  # type: ignore[override]
            return {"text": "x"}

    rows = Dataset.from_dict({"label": [0]})
    task: Any = TextTask()
    with pytest.raises(UserError, match="needs a task that predicts labels, and contrastive does not"):
        majority_class.predict(PLAN, task, None, DatasetDict(train=rows, test=rows))
