"""Frozen weights: held in bf16 while training, and frozen batch norm statistics."""

from __future__ import annotations

from typing import Any


def freeze_batch_norm(model: Any) -> None:
    """Let frozen batch norm normalise by the statistics that it came with, in a model that is set to training."""
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in model.modules():
        if isinstance(module, _BatchNorm):
            trains = [parameter.requires_grad for parameter in module.parameters()]
            if trains and not any(trains):
                module.eval()


def cast_frozen_to_bf16(model: Any) -> None:
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


def has_bf16_weights(model: Any) -> bool:
    """Tell whether weights of the model are held in bf16."""
    import torch

    return any(parameter.dtype is torch.bfloat16 for parameter in model.parameters())


def restore_frozen_weights(model: Any, source: Any) -> Any:
    """Return ``source``, the model as it was before it was held, with what has changed since in it."""
    frozen = {name for name, one in model.named_parameters(remove_duplicate=False) if not one.requires_grad}
    changed = {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}
    source.load_state_dict(changed, strict=False)
    return source
