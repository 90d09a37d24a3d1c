from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hfmm import evaluation, forgetting, tasks
from hfmm.data import icons
from hfmm.recipe import Data
from hfmm.tasks import BATCH_SIZE

ICONS = {"builder": "icons", "train": 4, "validation": 4, "test": 12, "size": 32}


@pytest.fixture(scope="module")
def scored(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run scored again, on two other draws of icons as well."""
    from hfmm.run import check, open_run, prepare_data

    root = tmp_path_factory.mktemp("forgetting") / "run"
    shutil.copytree(finished_run, root)
    recipe = yaml.safe_load((root / "recipe.yaml").read_text())
    recipe |= {"elsewhere": [ICONS | {"seed": 1}, ICONS | {"seed": 2, "test": 20}], "probes": []}
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    loaded, run = open_run(root)
    check(loaded)
    evaluation.evaluate(loaded, run, prepare_data(loaded, run, lambda step, text: None))
    return root


def records(root: Path, split: str, weights: str) -> dict[str, Any]:
    """Return the whole-split records of one dataset under one set of weights, by their metric."""
    found = json.loads((root / "results.json").read_text())["records"]
    return {one["metric"]: one for one in found if (one["split"], one["weights"]) == (split, weights)}


def test_the_only_dataset_of_a_builder_is_called_by_it_and_others_are_numbered() -> None:
    datasets = [Data(builder=name) for name in ("folder", "icons", "folder")]
    assert forgetting.names(datasets) == ["folder 1", "icons", "folder 2"]


def test_two_datasets_of_one_builder_keep_their_scores_apart(scored: Path) -> None:
    for weights in ("base", "tuned"):
        counts = [records(scored, f"icons {number} test", weights)["accuracy"]["n"] for number in (1, 2)]
        assert counts == [12, 20]
    assert list(json.loads((scored / "results.json").read_text())["elsewhere"]) == ["icons 1", "icons 2"]


def test_after_is_what_the_weights_on_disk_say_of_the_other_data(scored: Path, tmp_path: Path) -> None:
    options = {key: value for key, value in ICONS.items() if key != "builder"}
    rows = icons.build(icons.Options(**options, seed=1), tmp_path)["test"]
    model, task = evaluation.load_task(scored / "model")
    said = task.for_metrics(list(task.predict(model, rows, BATCH_SIZE)))
    truth = tasks.references(task, rows)
    right = sum(one == true for one, true in zip(said, truth, strict=True)) / len(rows)
    assert records(scored, "icons 1 test", "tuned")["accuracy"]["value"] == pytest.approx(right)


def test_the_card_shows_each_dataset_before_and_after(scored: Path, hfmm: Callable[..., Any]) -> None:
    done: subprocess.CompletedProcess[str] = hfmm("card", scored)
    assert done.returncode == 0, done.stderr
    card = (scored / "model" / "README.md").read_text()
    assert "### What it forgot" in card
    assert "| accuracy | icons 1 test | 12 |" in card and "| accuracy | icons 2 test | 20 |" in card
