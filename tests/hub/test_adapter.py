from __future__ import annotations

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCardData

from hfmm.card.hub_text import HubRevision
from hfmm.errors import UserError
from hfmm.hub.adapter import TOLERANCE, adapter_files
from hfmm.hub.push import RepoTarget
from hfmm.run_directory import RunDirectory
from hfmm.verify.adapter_script import max_difference_beyond_eps


def test_run_without_adapter_raises_with_causes_and_remedy(tmp_path: Path) -> None:
    run, targets = RunDirectory(tmp_path), (RepoTarget("me/x"), RepoTarget("me/y"))
    with pytest.raises(UserError, match=r"assembled from two checkpoints.*fine-tune the published model with LoRA"):
        adapter_files(run, "AutoModel", ModelCardData(), "x", targets, HubRevision("me/z", None))


def test_bf16_rounding_is_not_a_difference_between_adapter_and_model() -> None:
    merged = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert (merged - merged.bfloat16().float()).abs().max() > TOLERANCE
    assert max_difference_beyond_eps(merged, merged.bfloat16()) <= 0
    assert max_difference_beyond_eps(merged + 0.1, merged.bfloat16()) == pytest.approx(0.1, abs=0.02)
    assert max_difference_beyond_eps(merged + 0.1, merged) == pytest.approx(0.1, abs=1e-4)
