"""Where a model is that somebody names; what is downloaded is tested with what is pushed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.publishing.pull import model_folder
from hfmm.resources import CHECKPOINTS


def test_an_embedded_model_is_found_by_its_name() -> None:
    assert model_folder("builtin:tiny-vit") == CHECKPOINTS / "tiny-vit"
    with pytest.raises(UserError, match="MODEL: there is no builtin:huge"):
        model_folder("builtin:huge")


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert model_folder(str(tmp_path)) == tmp_path
