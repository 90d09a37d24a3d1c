from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from hfmm.errors import UserError
from hfmm.run_directory import RunDirectory
from hfmm.verify.verify import verify
from tests.loading import open_evaluated_run


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> RunDirectory:
    shutil.copytree(finished_run, tmp_path / "run")
    return RunDirectory.load(tmp_path / "run")


def test_changed_weights_fail_the_verification(run: RunDirectory) -> None:
    path = run.model / "model.safetensors"
    weights = {name: -value for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match="The folder is not what was scored"):
        verify(*open_evaluated_run(run.root))


def test_a_missing_image_processor_fails_the_verification(run: RunDirectory) -> None:
    for name in ("preprocessor_config.json", "processor_config.json"):
        (run.model / name).unlink(missing_ok=True)
    with pytest.raises(UserError, match="could not be loaded"):
        verify(*open_evaluated_run(run.root))


def test_a_card_with_another_output_fails_the_verification(run: RunDirectory) -> None:
    card = run.model / "README.md"
    text = card.read_text()
    claimed = re.search(r"```text\n(.*?)\n", text)
    assert claimed is not None
    card.write_text(text.replace(claimed[1], "0.99 tense: nonsense"))
    with pytest.raises(UserError, match="but the card says"):
        verify(*open_evaluated_run(run.root))
