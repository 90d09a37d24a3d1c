from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import ClassLabel, Dataset, Features, List, Value
from PIL import Image

from hfmm import data, tasks
from hfmm.data import icons
from hfmm.errors import UserError
from hfmm.evaluation import evaluate, forgetting
from hfmm.evaluation.predict import load_model_and_task
from hfmm.plan import resolve_plan
from hfmm.recipe.schema import Data, Recipe
from hfmm.tasks import BATCH_SIZE

ICONS = {"builder": "icons", "train": 4, "validation": 4, "test": 12, "size": 32}


@pytest.fixture(scope="module")
def scored(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run scored again, on two other draws of icons as well."""
    from hfmm.run import open_run, prepare_data

    root = tmp_path_factory.mktemp("forgetting") / "run"
    shutil.copytree(finished_run, root)
    recipe = yaml.safe_load((root / "recipe.yaml").read_text())
    recipe |= {"forgetting": [ICONS | {"seed": 1}, ICONS | {"seed": 2, "test": 20}], "baselines": []}
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    plan, run = open_run(root)
    evaluate.evaluate(plan, run, prepare_data(plan, run, lambda step, text: None))
    return root


def records(root: Path, split: str, weights: str) -> dict[str, Any]:
    """Return the whole-split records of one dataset under one set of weights, by their metric."""
    all_records = json.loads((root / "results.json").read_text())["records"]
    return {
        record["metric"]: record for record in all_records if (record["split"], record["weights"]) == (split, weights)
    }


def test_the_only_dataset_of_a_builder_is_called_by_it_and_others_are_numbered() -> None:
    datasets = [Data(builder=name) for name in ("folder", "icons", "folder")]
    assert forgetting.dataset_names(datasets) == ["folder 1", "icons", "folder 2"]


def test_two_datasets_of_one_builder_keep_their_scores_apart(scored: Path) -> None:
    for weights in ("base", "tuned"):
        counts = [records(scored, f"icons {number} test", weights)["accuracy"]["n"] for number in (1, 2)]
        assert counts == [12, 20]
    assert list(json.loads((scored / "results.json").read_text())["forgetting"]) == ["icons 1", "icons 2"]


def test_after_is_what_the_weights_on_disk_say_of_the_other_data(scored: Path, tmp_path: Path) -> None:
    options = {key: value for key, value in ICONS.items() if key != "builder"}
    rows = icons.build(icons.IconsOptions(**options, seed=1), tmp_path)["test"]
    model, task = load_model_and_task(scored / "model")
    predictions = task.metric_inputs(list(task.predict(model, rows, BATCH_SIZE)))
    truth = tasks.collect_references(task, rows)
    right = sum(prediction == true for prediction, true in zip(predictions, truth, strict=True)) / len(rows)
    assert records(scored, "icons 1 test", "tuned")["accuracy"]["value"] == pytest.approx(right)


def test_the_card_shows_each_dataset_before_and_after(scored: Path, hfmm: Callable[..., Any]) -> None:
    done: subprocess.CompletedProcess[str] = hfmm("card", scored)
    assert done.returncode == 0, done.stderr
    card = (scored / "model" / "README.md").read_text()
    assert "### Forgetting" in card
    assert "| accuracy | icons 1 test | 12 |" in card and "| accuracy | icons 2 test | 20 |" in card


def test_other_data_under_the_name_of_what_was_scored_are_refused(scored: Path, tmp_path: Path) -> None:
    from hfmm.run import open_run, prepare_data

    root = tmp_path / "run"
    shutil.copytree(scored, root)
    recipe = yaml.safe_load((root / "recipe.yaml").read_text())
    recipe["forgetting"][1]["seed"] = 3
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    loaded, run = open_run(root)
    with pytest.raises(UserError, match="The dataset icons 2 of `forgetting` has changed since"):
        evaluate.evaluate(loaded, run, prepare_data(loaded, run, lambda step, text: None))


def folder_of_classes(folder: Path, *names: str) -> dict[str, str]:
    """Write one picture of each class, named by its colour, for each split, and return what a recipe says of them."""
    for split in ("train", "validation", "test"):
        for name in names:
            (folder / split / name).mkdir(parents=True)
            Image.new("RGB", (32, 32), name).save(folder / split / name / "1.png")
    return {"builder": "folder", "path": str(folder)}


@pytest.fixture
def predict_other_classes(tiny_vit: Path, tmp_path: Path) -> Callable[..., list[forgetting.OtherDatasetPredictions]]:
    """Predict a folder of other classes by a model of blue, green and red that is not trained yet."""

    def predict(*names: str) -> list[forgetting.OtherDatasetPredictions]:
        from transformers import set_seed

        recipe = Recipe.model_validate(
            {
                "name": "colours",
                "task": "image_classification",
                "data": folder_of_classes(tmp_path / "own", "blue", "green", "red"),
                "model": {"checkpoint": str(tiny_vit)},
                "stages": [{"name": "full", "trainable": "all", "num_train_epochs": 1, "learning_rate": 1}],
                "metrics": ["accuracy"],
                "forgetting": [folder_of_classes(tmp_path / "other", *names)],
            }
        )
        features = data.build(recipe.data, {}, tmp_path / "cache")["train"].features
        set_seed(recipe.seed)
        plan = resolve_plan(recipe)
        model, processor = plan.model.load(features)
        task = plan.make_task(model, processor)
        return list(forgetting.predict_before_and_after(plan, task, model.eval(), features, tmp_path / "cache"))

    return predict


def test_a_label_of_other_data_is_the_class_of_its_name(
    predict_other_classes: Callable[..., list[forgetting.OtherDatasetPredictions]],
) -> None:
    base, tuned = predict_other_classes("blue", "red")
    feature = tuned.rows.features["label"]
    assert [feature.names[label] for label in tuned.rows["label"]] == ["blue", "red"]
    assert feature.names == ["blue", "green", "red"]
    assert base.predictions == tuned.predictions


def test_classes_that_the_model_does_not_know_are_named(
    predict_other_classes: Callable[..., list[forgetting.OtherDatasetPredictions]],
) -> None:
    with pytest.raises(
        UserError, match=r"forgetting\.0: the dataset has the classes black\. The model predicts one of blue, gre"
    ):
        predict_other_classes("black", "red")


def test_labels_of_several_attributes_are_numbered_by_their_names_and_one_that_is_none_stays_none() -> None:
    names = ["tense: past", "tense: present", "person: 1sg", "person: 2sg"]
    known = Features({"label": List(ClassLabel(names=names))})
    other = Features({"id": Value("int64"), "label": List(ClassLabel(names=["person: 2sg", "tense: present"]))})
    rows = Dataset.from_dict({"id": [0, 1, 2, 3], "label": [[0, 1], [1], None, [None]]}, features=other)
    assert forgetting.align_label_ids(rows, known, "here")["label"][:] == [[3, 1], [1], [], [None]]
    with pytest.raises(
        UserError, match=r"here: the dataset has the classes person: 2sg, .* The model predicts one of tense: past"
    ):
        forgetting.align_label_ids(rows, Features({"label": ClassLabel(names=names)}), "here")
