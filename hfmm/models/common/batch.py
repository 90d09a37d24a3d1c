"""Batches of tensors: on the device and in the dtype of a model, and the inputs of its towers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unwrap_model(model: Any) -> Any:
    """Return the model itself where distributed training has wrapped it."""
    return getattr(model, "module", model)


def to_model_device(batch: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Return the batch on the device of the model, floating-point tensors in its dtype."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for name, value in batch.items()
    }


def image_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of the vision tower."""
    return {key: batch[key] for key in ("pixel_values", "pixel_attention_mask", "spatial_shapes") if key in batch}


def text_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of the text tower."""
    return {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
