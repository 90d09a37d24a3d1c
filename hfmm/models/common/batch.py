"""Where and in which arithmetic a model computes, for what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def to_model_device(batch: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Return a batch of tensors on the model's device, those of floating point in its dtype."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for name, value in batch.items()
    }


def image_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the vision tower reads in a batch."""
    return {key: batch[key] for key in ("pixel_values", "pixel_attention_mask", "spatial_shapes") if key in batch}


def text_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the text tower reads in a batch."""
    return {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
