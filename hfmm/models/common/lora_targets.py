"""Which modules LoRA adapts unless a recipe names them."""

from __future__ import annotations

from typing import Any


def find_linear_modules(model: Any, part: Any) -> list[str]:
    """Return the names, in ``model``, of all linear modules of its ``part`` (all-linear adapts best: arXiv:2305.14314).

    The output projection of torch's own attention is left out: it is never called, its weight is read.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    read = {id(module.out_proj) for module in part.modules() if isinstance(module, nn.MultiheadAttention)}
    inside = {id(module) for module in part.modules()} - read
    return sorted(
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) in inside
    )
