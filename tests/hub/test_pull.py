"""Resolution of model names. Downloads are tested in test_push.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfmm.assets import CHECKPOINTS
from hfmm.errors import UserError
from hfmm.hub.pull import resolve_model_folder


def test_builtin_name_resolves_to_its_folder() -> None:
    assert resolve_model_folder("builtin:tiny-vit") == CHECKPOINTS / "tiny-vit"
    with pytest.raises(UserError, match="MODEL: builtin:huge does not exist"):
        resolve_model_folder("builtin:huge")


def test_local_folder_resolves_to_itself(tmp_path: Path) -> None:
    assert resolve_model_folder(str(tmp_path)) == tmp_path
