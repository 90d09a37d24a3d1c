"""Batch norm that is frozen keeps its statistics, which would else follow the batches that a stage trains on."""

from __future__ import annotations

from typing import Any


def keep(model: Any) -> None:
    """Let frozen batch norm normalise by the statistics that it came with, in a model that is set to training."""
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in model.modules():
        if isinstance(module, _BatchNorm):
            trains = [parameter.requires_grad for parameter in module.parameters()]
            if trains and not any(trains):
                module.eval()
