from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCardData

from hfmm.errors import UserError
from hfmm.publishing.adapter import adapter_contents
from hfmm.publishing.publication import Base
from hfmm.run_directory import RunDirectory


def test_a_run_without_an_adapter_says_why_there_may_be_none_and_what_to_do(tmp_path: Path) -> None:
    run, ids = RunDirectory(tmp_path), ("me/x", "me/y")
    with pytest.raises(UserError, match=r"put together from two checkpoints.*tune the published model with LoRA"):
        adapter_contents(run, "AutoModel", ModelCardData(), "x", ids, Base("me/z", None))
