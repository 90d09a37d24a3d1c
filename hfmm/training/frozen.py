"""Frozen modules during training: bf16 weights and fixed batch norm statistics."""

from __future__ import annotations

from typing import Any

from hfmm.models.common.batch import unwrap_adapter


def freeze_batch_norm(model: Any) -> None:
    """Put frozen batch norm layers of a model in training mode into evaluation mode, which fixes their statistics."""
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in model.modules():
        if isinstance(module, _BatchNorm):
            requires_grad = [parameter.requires_grad for parameter in module.parameters()]
            if requires_grad and not any(requires_grad):
                module.eval()


def cast_frozen_to_bf16(model: Any) -> None:
    """Cast the frozen weights of linear and convolution layers to bf16. Every forward pass then needs autocast.

    An output layer that is tied to a frozen embedding gets a bf16 copy, and the embedding is unchanged.
    """
    import torch
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    for module in model.modules():
        parameters = dict(module.named_parameters(recurse=False))
        is_matrix_product = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | Conv1D)
        if is_matrix_product and not any(parameter.requires_grad for parameter in parameters.values()):
            for name, parameter in parameters.items():
                if type(parameter) is not nn.Parameter:
                    continue  # quantized
                setattr(module, name, nn.Parameter(parameter.to(torch.bfloat16), requires_grad=False))


def has_bf16_weights(model: Any) -> bool:
    """Return whether any weights of the model are in bf16."""
    import torch

    return any(parameter.dtype is torch.bfloat16 for parameter in model.parameters())


def has_quantized_weights(model: Any) -> bool:
    """Return whether the linear layers of the model, below its adapter, were quantized when it was loaded."""
    return bool(getattr(unwrap_adapter(model), "is_quantized", False))


def restore_frozen_weights(model: Any, source: Any) -> Any:
    """Return ``source``, the model before `cast_frozen_to_bf16`, with the trained weights and buffers of ``model``."""
    frozen = {name for name, value in model.named_parameters(remove_duplicate=False) if not value.requires_grad}
    changed = {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}
    source.load_state_dict(changed, strict=False)
    return source
