from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from hfmm.errors import UserError
from hfmm.recipe.schema import Recipe
from hfmm.run import open_run
from hfmm.run_directory import RunDirectory
from hfmm.verify.verify import verify


@pytest.fixture
def copied(finished_run: Path, tmp_path: Path) -> tuple[Recipe, RunDirectory]:
    shutil.copytree(finished_run, tmp_path / "run")
    return open_run(tmp_path / "run")


def test_other_weights_are_noticed(copied: tuple[Recipe, RunDirectory]) -> None:
    recipe, run = copied
    path = run.model / "model.safetensors"
    weights = {name: -value for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match="The folder is not what was scored"):
        verify(recipe, run)


def test_a_missing_image_processor_is_noticed(copied: tuple[Recipe, RunDirectory]) -> None:
    recipe, run = copied
    for name in ("preprocessor_config.json", "processor_config.json"):
        (run.model / name).unlink(missing_ok=True)
    with pytest.raises(UserError, match="does not load"):
        verify(recipe, run)


def test_a_card_that_claims_another_output_is_noticed(copied: tuple[Recipe, RunDirectory]) -> None:
    recipe, run = copied
    card = run.model / "README.md"
    text = card.read_text()
    claimed = re.search(r"```text\n(.*?)\n", text)
    assert claimed is not None
    card.write_text(text.replace(claimed[1], "0.99 tense: nonsense"))
    with pytest.raises(UserError, match="but the card says"):
        verify(recipe, run)
