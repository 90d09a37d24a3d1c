"""The folder of a run: what gives way, what is gone on with, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory


def recipe(*overrides: str) -> Recipe:
    return load_recipe("vit_icons", list(overrides))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def begun(out: Path, finished: int = 0) -> RunDirectory:
    """A run of vit_icons whose data is built, its first stages finished and the next one begun."""
    run = RunDirectory.open(out, recipe(), resume=False)
    (run.checkpoints / "data").mkdir(parents=True)
    for index, name in enumerate(["head", "full"][: finished + 1] if finished else []):
        (run.checkpoints / f"{index}-{name}").mkdir()
        if index < finished:
            (run.checkpoints / f"{index}-{name}/stage.json").write_text("{}")
    run.update_results(data={"fingerprint": "old"})
    return run


def test_a_new_run_saves_its_recipe(out: Path) -> None:
    run = RunDirectory.open(out, recipe(), resume=False)
    assert load_recipe(str(run.recipe)).model_dump() == recipe().model_dump()


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_without_training_is_replaced_by_a_fixed_recipe(out: Path, resume: bool) -> None:
    begun(out)
    run = RunDirectory.open(out, recipe("data.on_invalid_row=skip"), resume)
    assert load_recipe(str(run.recipe)).data.on_invalid_row == "skip"
    assert not run.results.exists() and not run.checkpoints.exists()


def test_resuming_the_same_recipe_keeps_the_built_data(out: Path) -> None:
    begun(out)
    assert (RunDirectory.open(out, recipe(), resume=True).checkpoints / "data").is_dir()


def test_a_trained_run_is_not_overwritten(out: Path) -> None:
    begun(out, finished=1)
    with pytest.raises(UserError, match="already holds a run"):
        RunDirectory.open(out, recipe("data.on_invalid_row=skip"), resume=False)


def test_an_unfinished_stage_can_be_changed_and_restarts(out: Path) -> None:
    begun(out, finished=1)
    run = RunDirectory.open(out, recipe("stages.full.learning_rate=1e-5"), resume=True)
    assert load_recipe(str(run.recipe)).stages[1].learning_rate == 1e-5
    assert [path.name for path in sorted(run.checkpoints.iterdir())] == ["0-head", "data"]
    assert run.read_results()["data"] == {"fingerprint": "old"}


@pytest.mark.parametrize("change", ["stages.head.learning_rate=1e-5", "data.on_invalid_row=skip", "seed=1"])
def test_a_finished_stage_cannot_be_changed(out: Path, change: str) -> None:
    begun(out, finished=1)
    with pytest.raises(UserError, match=f"a run of another recipe: {re.split('[.=]', change)[0]} differ"):
        RunDirectory.open(out, recipe(change), resume=True)
    assert (out / "checkpoints/1-full").is_dir()


def test_other_files_are_not_overwritten(out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"already holds files that are not a run\. Choose another --out\.$"):
        RunDirectory.open(out, recipe(), resume=False)


@pytest.mark.parametrize("resume", [False, True])
def test_an_output_dir_that_is_a_file_is_refused(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "picture.png").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"picture\.png is a file, and a run needs a folder\. Choose another --out\."):
        RunDirectory.open(tmp_path / "picture.png", recipe(), resume)
