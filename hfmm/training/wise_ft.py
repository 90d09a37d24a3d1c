"""WiSE-FT: interpolation between the weights before and after fine-tuning, which reduces forgetting."""

from __future__ import annotations

from typing import Any


def interpolate_weights(before: Any, after: Any, alpha: float) -> Any:
    """Return ``after`` with each floating-point tensor set to ``(1 - alpha) * before + alpha * after``.

    Both models have the same tensors, and ``alpha`` is between 0 and 1. WiSE-FT, Wortsman et al. 2021,
    arXiv:2109.01903, recommends 0.5 as the default.
    """
    import torch

    start, end = before.state_dict(), after.state_dict()
    interpolated = {
        name: torch.lerp(start[name].to(tensor), tensor, alpha) if tensor.is_floating_point() else tensor
        for name, tensor in end.items()
    }
    after.load_state_dict(interpolated)
    return after
