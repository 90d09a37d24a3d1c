"""Frozen weights of matrix products, held in bf16 while a stage computes in bf16: half the memory, no cast a step.

Autocast rounds these weights in every step anyway, so what trains beside them stays the same to the bit. Embeddings
and norms, which it leaves alone, are left alone here too: cast as a whole, some models compute something else.
"""

from __future__ import annotations

from typing import Any


def hold(model: Any) -> None:
    """Round the frozen weights of matrix products to bf16; from here on each forward pass needs autocast.

    An output layer that is tied to a frozen embedding gets a rounded copy, and the embedding stays.
    """
    import torch
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    for module in model.modules():
        own = dict(module.named_parameters(recurse=False))
        product = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | Conv1D)
        if product and not any(parameter.requires_grad for parameter in own.values()):
            for name, parameter in own.items():
                setattr(module, name, nn.Parameter(parameter.to(torch.bfloat16), requires_grad=False))


def are_held(model: Any) -> bool:
    """Tell whether weights of the model are held in bf16."""
    import torch

    return any(parameter.dtype is torch.bfloat16 for parameter in model.parameters())


def released(model: Any, source: Any) -> Any:
    """Return ``source``, the model as it was before it was held, with what has changed since in it."""
    frozen = {name for name, one in model.named_parameters(remove_duplicate=False) if not one.requires_grad}
    changed = {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}
    source.load_state_dict(changed, strict=False)
    return source
