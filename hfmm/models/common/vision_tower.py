"""Access the vision tower of a model, precompute its features, and let it accept them in place of images."""

from __future__ import annotations

from typing import Any

from hfmm.errors import UserError
from hfmm.models.common.batch import unwrap_adapter


def vision_tower(model: Any) -> Any:
    """Return the vision tower of a LLaVA or AyaVision model, with or without an adapter.

    Raises UserError for a model that does not read a single layer of its tower.
    """
    inner = unwrap_adapter(model)
    config = inner.config
    if not _reads_one_layer(config):
        raise UserError(
            "data.cache_vision_features is only supported for LLaVA and AyaVision models with a single feature layer, "
            f"and this is a {config.model_type!r} model. Set it to false."
        )
    return inner.model.vision_tower


def features(model: Any, pixels: Any) -> Any:
    """Return the features of images that the projector reads, `(num_images, num_tokens, hidden_size)`.

    They include the class token.
    """
    states = vision_tower(model)(pixels, output_hidden_states=True).hidden_states
    return states[unwrap_adapter(model).config.vision_feature_layer]


def accept_precomputed_features(model: Any) -> None:
    """Let the tower also accept features `(num_images, num_tokens, hidden_size)`, which it returns unchanged."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    tower, original_forward = vision_tower(model), vision_tower(model).forward
    num_states = abs(unwrap_adapter(model).config.vision_feature_layer) + 1

    def forward(pixel_values: Any, **kwargs: Any) -> Any:
        if pixel_values.ndim == 3:
            return BaseModelOutputWithPooling(hidden_states=(pixel_values,) * num_states)
        return original_forward(pixel_values, **kwargs)

    tower.forward = forward  # a wrapper module would rename the weights


def unused_parameters(model: Any) -> set[str]:
    """Return the names of the parameters of the tower that its features do not depend on.

    These are later layers, poolers, norms after the last layer, and mask tokens. Returns an empty set for a model that
    does not read a single layer of its tower.
    """
    import torch
    from transformers import AutoModel

    if not _reads_one_layer(model.config):
        return set()
    config = model.config.vision_config
    height, width = (config.image_size,) * 2 if isinstance(config.image_size, int) else config.image_size
    with torch.device("meta"):  # it computes gradients without values
        tower = AutoModel.from_config(config)
        states = tower(torch.zeros(1, config.num_channels, height, width), output_hidden_states=True).hidden_states
        output = states[model.config.vision_feature_layer].sum()
    names, parameters = zip(*tower.named_parameters(), strict=True)
    gradients = torch.autograd.grad(output, parameters, allow_unused=True)
    return {f"model.vision_tower.{name}" for name, gradient in zip(names, gradients, strict=True) if gradient is None}


def _reads_one_layer(config: Any) -> bool:
    is_supported = config.model_type in ("llava", "aya_vision") and config.vision_config.model_type != "pixtral"
    return is_supported and isinstance(config.vision_feature_layer, int)
