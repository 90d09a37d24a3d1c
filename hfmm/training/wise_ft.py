"""Weights between those of a checkpoint and those of its fine-tuned self: nearly as good, and less is forgotten."""

from __future__ import annotations

from typing import Any


def interpolate_weights(before: Any, after: Any, share: float) -> Any:
    """Return ``after`` with each floating-point tensor moved to ``(1 - share) * before + share * after``.

    The two models have the same tensors; ``share`` lies between 0 and 1. WiSE-FT, Wortsman et al. 2021,
    arXiv:2109.01903, which finds 0.5 good where nothing is known.
    """
    import torch

    start, end = before.state_dict(), after.state_dict()
    between = {
        name: torch.lerp(start[name].to(tensor), tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in end.items()
    }
    after.load_state_dict(between)
    return after
