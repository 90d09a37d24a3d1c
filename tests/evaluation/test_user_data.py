from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from hfmm.errors import UserError
from hfmm.evaluation.user_data import evaluate_on_rows, load_user_rows
from tests.conftest import Call


@pytest.fixture
def classifier(tiny_vit: Path, tmp_path: Path) -> Path:
    """A published classifier without a card of hfmm: red is its class 1."""
    labels = {0: "blue", 1: "red"}
    model = AutoModelForImageClassification.from_pretrained(
        tiny_vit, id2label=labels, label2id={name: index for index, name in labels.items()}
    )
    model.classifier.weight.data.zero_()
    model.classifier.bias.data = model.classifier.bias.data.new_tensor([0.0, 1.0])  # it always says red
    model.save_pretrained(tmp_path / "model")
    AutoImageProcessor.from_pretrained(tiny_vit).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def images(folder: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (32, 32), (index, 0, 0)).save(folder / name / f"{index}.png")
    return folder


def test_any_classifier_is_scored_with_labels_matched_by_name(classifier: Path, tmp_path: Path, hfmm: Call) -> None:
    photos = images(tmp_path / "photos", blue=1, red=3)
    done = hfmm("evaluate", classifier, "--data", photos)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["accuracy", "0.7500"] and "n=4" in done.stdout


def test_the_test_split_is_scored_if_the_data_has_one(classifier: Path, tmp_path: Path) -> None:
    photos = images(tmp_path / "photos/train", blue=2, red=2).parent
    images(photos / "test", red=1)
    assert len(load_user_rows(str(photos), {})) == 1
    assert len(load_user_rows(str(photos), {}, "all")) == 5
    with pytest.raises(UserError, match="has no validation split; it has train, test"):
        load_user_rows(str(photos), {}, "validation")


def test_classes_that_the_model_does_not_have_are_refused(classifier: Path, tmp_path: Path) -> None:
    rows = load_user_rows(str(images(tmp_path / "photos", green=2, red=2)), {})
    with pytest.raises(UserError, match=r"the classes green.* one of blue, red"):
        evaluate_on_rows(classifier, rows)


def test_a_model_of_no_supported_kind_is_refused(classifier: Path, tmp_path: Path) -> None:
    config = classifier / "config.json"
    config.write_text(config.read_text().replace("ViTForImageClassification", "ViTForMaskedImageModeling"))
    rows = load_user_rows(str(images(tmp_path / "photos", blue=2, red=2)), {})
    with pytest.raises(UserError, match="is a ViTForMaskedImageModeling, and no task of hfmm trains this class"):
        evaluate_on_rows(classifier, rows)
