from __future__ import annotations

from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.models.common.checkpoint import resolve_checkpoint
from hfmm.recipe.schema import Model


def test_a_run_given_for_its_model_is_told_where_the_model_is(finished_run: Path) -> None:
    with pytest.raises(UserError, match=f"It is a run; its model is {finished_run}/model\\."):
        resolve_checkpoint(Model(checkpoint=str(finished_run)))


def test_a_folder_of_something_else_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json, so it is no checkpoint\.$"):
        resolve_checkpoint(Model(checkpoint=str(tmp_path)))
