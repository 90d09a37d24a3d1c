"""The default target modules of LoRA."""

from __future__ import annotations

from typing import Any


def find_linear_modules(model: Any, part: Any) -> list[str]:
    """Return the names, in ``model``, of all linear modules of its ``part``, which adapt best (arXiv:2305.14314).

    The output projection of `torch.nn.MultiheadAttention` is excluded: torch reads its weight and never calls it.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    never_called = {id(module.out_proj) for module in part.modules() if isinstance(module, nn.MultiheadAttention)}
    candidates = {id(module) for module in part.modules()} - never_called
    return sorted(
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) in candidates
    )
