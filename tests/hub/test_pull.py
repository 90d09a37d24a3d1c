"""Where a model is that somebody names; what is downloaded is tested with what is pushed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfmm.assets import CHECKPOINTS
from hfmm.errors import UserError
from hfmm.hub.pull import resolve_model_folder


def test_an_embedded_model_is_found_by_its_name() -> None:
    assert resolve_model_folder("builtin:tiny-vit") == CHECKPOINTS / "tiny-vit"
    with pytest.raises(UserError, match="MODEL: there is no builtin:huge"):
        resolve_model_folder("builtin:huge")


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert resolve_model_folder(str(tmp_path)) == tmp_path
