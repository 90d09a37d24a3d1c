"""A vision tower that passes its own features on where it is given them, computed before, in the place of pictures."""

from __future__ import annotations

from typing import Any

from hfmm.errors import UserError


def vision_tower(model: Any) -> Any:
    """Return the vision tower of a LLaVA or an AyaVision, wrapped for LoRA or not.

    Raises UserError for a model that reads its tower in another way.
    """
    inner = _unwrapped(model)
    config = inner.config
    if not _reads_one_layer(config):
        raise UserError(
            f"data.cache_vision_features: this {config.model_type!r} model reads its vision tower in a way of its own, which "
            "cannot be kept on disk. Set it to false."
        )
    return inner.model.vision_tower


def features(model: Any, pixels: Any) -> Any:
    """Return what the projector is to read of pictures, (pictures, tokens, width), a class token included."""
    states = vision_tower(model)(pixels, output_hidden_states=True).hidden_states
    return states[_unwrapped(model).config.vision_feature_layer]


def accept_precomputed_features(model: Any) -> None:
    """Let the tower take features (pictures, tokens, width) too, which it passes on; pictures it sees as before."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    seeing, own = vision_tower(model), vision_tower(model).forward
    states = abs(_unwrapped(model).config.vision_feature_layer) + 1

    def forward(pixel_values: Any, **more: Any) -> Any:
        if pixel_values.ndim == 3:
            return BaseModelOutputWithPooling(hidden_states=(pixel_values,) * states)
        return own(pixel_values, **more)

    seeing.forward = forward  # not a module around it, which would give its weights other names


def unused_parameters(model: Any) -> set[str]:
    """Return the names of the parameters of the tower that its features do not depend on.

    They are those of later layers, of poolers and norms after the last, and of tokens that mask patches. Nothing is
    known of a model that reads its tower in another way.
    """
    import torch
    from transformers import AutoModel

    if not _reads_one_layer(model.config):
        return set()
    config = model.config.vision_config
    height, width = (config.image_size,) * 2 if isinstance(config.image_size, int) else config.image_size
    with torch.device("meta"):  # gradients flow there too, without numbers
        seeing = AutoModel.from_config(config)
        states = seeing(torch.zeros(1, config.num_channels, height, width), output_hidden_states=True).hidden_states
        read = states[model.config.vision_feature_layer].sum()
    names, parameters = zip(*seeing.named_parameters(), strict=True)
    found = torch.autograd.grad(read, parameters, allow_unused=True)
    return {f"model.vision_tower.{name}" for name, one in zip(names, found, strict=True) if one is None}


def _reads_one_layer(config: Any) -> bool:
    known = config.model_type in ("llava", "aya_vision") and config.vision_config.model_type != "pixtral"
    return known and isinstance(config.vision_feature_layer, int)


def _unwrapped(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
