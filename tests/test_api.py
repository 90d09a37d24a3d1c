from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from datasets import DatasetDict

import hfmm
from hfmm.errors import UserError


@pytest.fixture(scope="module")
def run(finished_run: Path) -> hfmm.Run:
    return hfmm.Run(finished_run)


def test_import_is_fast_and_loads_no_library() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import hfmm; seconds = time.perf_counter() - start; "
        "heavy = [name for name in ('torch', 'transformers', 'datasets', 'pydantic') if name in sys.modules]; "
        "print(heavy, seconds < 0.1)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[] True"


def test_every_exported_name_can_be_imported() -> None:
    assert all(hasattr(hfmm, name) for name in hfmm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hfmm.nothing


def test_a_run_gives_its_results_predictions_card_and_plots(run: hfmm.Run) -> None:
    assert run.results[0]["metric"] == "accuracy" and {"value", "ci95", "slice"} <= run.results[0].keys()
    assert len(run.predictions()) == 40
    assert run.card().startswith("---\n")
    assert "loss.png" in [path.name for path in run.plots]
    assert (run.model_dir / "config.json").is_file()


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        hfmm.Run(tmp_path)


def test_predict_gives_a_dict_for_each_file(run: hfmm.Run) -> None:
    example = run.model_dir / "example.png"
    (prediction,) = hfmm.predict(run, example)
    assert prediction["file"] == str(example)
    assert prediction["prediction"] == run.predictions()[0]["prediction"]


def test_a_recipe_built_in_python_runs(tiny_vit: Path, tmp_path: Path) -> None:
    recipe = hfmm.Recipe(
        name="python",
        task="image_classification",
        data={"builder": "icons", "train": 8, "validation": 4, "test": 4, "size": 32},
        model={"checkpoint": str(tiny_vit)},
        stages=[{"name": "full", "trainable": "all", "num_train_epochs": 1, "learning_rate": 1e-3}],
        metrics=["accuracy"],
    )
    assert hfmm.run_recipe(recipe, tmp_path / "run").results[0]["n"] == 4
    assert hfmm.verify_run(tmp_path / "run") == 4


def test_load_dataset_decodes_images() -> None:
    data = hfmm.load_dataset("icons", train=2, validation=1, test=1, size=32)
    assert isinstance(data, DatasetDict) and data["train"][0]["image"].size == (32, 32)


def test_a_wrong_option_of_a_dataset_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'train'"):
        hfmm.load_dataset("icons", trian=2)


def test_evaluate_takes_a_dataset_and_a_path(run: hfmm.Run, tmp_path: Path) -> None:
    rows = hfmm.load_dataset("icons", tmp_path / "cache", train=2, validation=1, test=6, size=32)["test"]
    records = hfmm.evaluate(run, rows)
    assert (records[0]["metric"], records[0]["n"]) == ("accuracy", 6)
    rows.to_parquet(tmp_path / "rows.parquet")
    again = hfmm.evaluate(run.model_dir, tmp_path / "rows.parquet", metrics=["accuracy"])
    assert [record["value"] for record in again] == [record["value"] for record in records]
