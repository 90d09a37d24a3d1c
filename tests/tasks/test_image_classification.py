from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Features, List
from PIL import Image

from hfmm.errors import UserError
from hfmm.models import image_classifier
from hfmm.tasks.image_classification import ImageClassificationTask

NAMES = ["tense: past", "tense: present", "person: 1sg", "person: 2sg", "person: 3sg"]


@pytest.fixture
def model(tiny_vit: Path) -> Any:
    from transformers import AutoModelForImageClassification

    torch.manual_seed(0)
    return AutoModelForImageClassification.from_pretrained(
        tiny_vit, id2label=dict(enumerate(NAMES)), problem_type="multi_label_classification"
    )


@pytest.fixture
def task(model: Any, tiny_vit: Path) -> ImageClassificationTask:
    from transformers import AutoImageProcessor

    return ImageClassificationTask(
        model.config, AutoImageProcessor.from_pretrained(tiny_vit), ImageClassificationTask.Options()
    )


IMAGES = [Image.effect_noise((32, 32), 60) for _ in range(8)]


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": str(index), "image": IMAGES[index], "label": [index % 2, 2 + index % 3]} for index in range(count)]


def test_loss_equals_its_definition(task: ImageClassificationTask, model: Any) -> None:
    batch = task.collate(rows(4))
    logits = model(batch["pixel_values"]).logits.tolist()
    expected = 0.0
    for row, values in zip(rows(4), logits, strict=True):
        for index, value in enumerate(values):
            probability = 1 / (1 + math.exp(-value))
            expected -= math.log(probability if index in row["label"] else 1 - probability)
        for group in ([0, 1], [2, 3, 4]):
            total = sum(math.exp(values[index]) for index in group)
            expected -= math.log(math.exp(values[next(label for label in row["label"] if label in group)]) / total)
    assert float(task.loss(model, batch, 4)) == pytest.approx(expected / 4, rel=1e-5)


def test_accumulated_gradient_equals_that_of_the_whole_batch(task: ImageClassificationTask, model: Any) -> None:
    all_rows = rows(8)
    task.loss(model, task.collate(all_rows), 8).backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for start in range(0, 8, 2):
        task.loss(model, task.collate(all_rows[start : start + 2]), 8).backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-6), name


def test_prediction_is_the_best_label_of_each_attribute(task: ImageClassificationTask, model: Any) -> None:
    model.eval()
    (prediction,) = task.predict(model, rows(1), 1)
    with torch.no_grad():
        scores = model(task.collate(rows(1))["pixel_values"]).logits.sigmoid()[0]
    assert prediction["prediction"] == [NAMES[int(scores[:2].argmax())], NAMES[2 + int(scores[2:].argmax())]]
    assert prediction["score"] == pytest.approx([float(scores[:2].max()), float(scores[2:].max())])


def test_token_labels_add_the_loss_of_the_patches(task: ImageClassificationTask, model: Any) -> None:
    labeled = [row | {"token_labels": [0, -1, 3, -1]} for row in rows(2)]
    batch = task.collate(labeled)
    with torch.no_grad():
        plain = float(task.loss(model, {key: value for key, value in batch.items() if key != "token_labels"}, 2))
        logits = model.classifier(model.vit(batch["pixel_values"]).last_hidden_state[:, 1:])
        token_loss = torch.nn.functional.cross_entropy(logits[:, [0, 2]].flatten(0, 1), torch.tensor([0, 3, 0, 3]))
        assert float(task.loss(model, batch, 2)) == pytest.approx(plain + 2 * float(token_loss), rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], r"it has 2 values of its attribute 'tense' \(tense: past, tense: present\), and needs exactly one"),
        ([0], r"it has 0 values of its attribute 'person' \(none\), and needs exactly one"),
        ([0, 5], "is not one of the 5 classes"),
    ],
)
def test_validator_rejects_missing_extra_or_unknown_labels(labels: list[int], message: str) -> None:
    features = Features({"label": List(ClassLabel(names=NAMES))})
    validate = ImageClassificationTask.make_row_validator(image_classifier.FAMILY, None, None, features)
    (row,) = rows(1)
    validate(row)
    with pytest.raises(UserError, match=message):
        validate(row | {"label": labels})


def test_validator_rejects_several_labels_without_attributes() -> None:
    features = Features({"label": List(ClassLabel(names=["cat", "dog", "tree"]))})
    validate = ImageClassificationTask.make_row_validator(image_classifier.FAMILY, None, None, features)
    with pytest.raises(UserError, match=r"it has 2 values of its labels \(cat, tree\), and needs exactly one"):
        validate(rows(1)[0] | {"label": [0, 2]})


def test_invalid_image_raises_error_with_the_row_id(task: ImageClassificationTask) -> None:
    with pytest.raises(UserError, match="row broken: the image is empty"):
        task.collate([{"id": "broken", "image": {"bytes": b"", "path": None}, "label": [0, 2]}])
