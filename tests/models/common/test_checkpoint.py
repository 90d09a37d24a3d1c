from __future__ import annotations

from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.models.common.checkpoint import resolve_checkpoint
from hfmm.recipe.schema import Model


def test_run_folder_raises_error_with_the_path_of_its_model(finished_run: Path) -> None:
    with pytest.raises(UserError, match=f"It is a run\\. Its model is {finished_run}/model\\."):
        resolve_checkpoint(Model(checkpoint=str(finished_run)))


def test_other_folder_raises_error_without_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a checkpoint: config\.json is missing\.$"):
        resolve_checkpoint(Model(checkpoint=str(tmp_path)))
