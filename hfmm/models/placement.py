"""Where and in which arithmetic a model computes, for what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def placed(batch: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Return a batch of tensors on the model's device, those of floating point in its dtype."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for name, value in batch.items()
    }
