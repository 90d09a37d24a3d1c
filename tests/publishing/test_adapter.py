from __future__ import annotations

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCardData

from hfmm.errors import UserError
from hfmm.publishing.adapter import TOLERANCE, adapter_contents
from hfmm.publishing.clean_adapter import beyond_rounding
from hfmm.publishing.publication import Base
from hfmm.publishing.push import Target
from hfmm.run_directory import RunDirectory


def test_a_run_without_an_adapter_says_why_there_may_be_none_and_what_to_do(tmp_path: Path) -> None:
    run, places = RunDirectory(tmp_path), (Target("me/x"), Target("me/y"))
    with pytest.raises(UserError, match=r"put together from two checkpoints.*tune the published model with LoRA"):
        adapter_contents(run, "AutoModel", ModelCardData(), "x", places, Base("me/z", None))


def test_what_bf16_cannot_tell_apart_is_no_difference_between_adapter_and_model() -> None:
    merged = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert (merged - merged.bfloat16().float()).abs().max() > TOLERANCE
    assert beyond_rounding(merged, merged.bfloat16()) <= 0
    assert beyond_rounding(merged + 0.1, merged.bfloat16()) == pytest.approx(0.1, abs=0.02)
    assert beyond_rounding(merged + 0.1, merged) == pytest.approx(0.1, abs=1e-4)
