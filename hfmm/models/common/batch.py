"""Move batches to the device of a model, select the inputs of its towers, and unwrap models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IGNORE_INDEX = -100  # the label of a position that the loss skips, as in torch and transformers


def unwrap_model(model: Any) -> Any:
    """Return the model itself if distributed training has wrapped it."""
    return getattr(model, "module", model)


def unwrap_adapter(model: Any) -> Any:
    """Return the base model of a model with an adapter, and any other model as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def to_model_device(batch: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Return the batch on the device of the model, with floating-point tensors in its dtype."""
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
