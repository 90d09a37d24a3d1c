"""Pair a vision and a text checkpoint into a dual encoder, which projects the pooled output of each tower."""

from __future__ import annotations

from typing import Any

from hfmm.errors import UserError, first_line
from hfmm.models.common.checkpoint import RECIPE_KEY, check_missing_keys, load_weights, resolve_checkpoint
from hfmm.recipe.schema import Model

TEXT = "model.text_model"


def paired_config(
    vision_config: Any, text_config: Any, projection_dim: int, model_options: Model, text_options: Model
) -> Any:
    """Return the config of a dual encoder with both towers and a shared space of ``projection_dim`` dimensions.

    Raises UserError for a tower whose config has no hidden size.
    """
    from transformers import VisionTextDualEncoderConfig

    for key, name, tower_config in (
        (RECIPE_KEY, model_options.checkpoint, vision_config),
        (TEXT, text_options.checkpoint, text_config),
    ):
        if not hasattr(tower_config, "hidden_size"):
            raise _tower_error(key, name, tower_config, "its config has no hidden_size")
    return VisionTextDualEncoderConfig.from_vision_text_configs(
        vision_config, text_config, projection_dim=projection_dim
    )


def load_tower(model_options: Model, key: str = RECIPE_KEY) -> Any:
    """Return an encoder in fp32; raises UserError if its checkpoint could not be loaded or lacks tensors.

    The pooler may be missing: the class has one, but many checkpoints were saved without it. It starts as the identity
    and not at random, because a stage may freeze it.
    """
    from torch import nn
    from transformers import AutoModel

    model, info = load_weights(AutoModel, resolve_checkpoint(model_options, key), model_options, key)
    pooler_keys = [name for name in info["missing_keys"] if "pooler." in name]
    check_missing_keys(set(info["missing_keys"]) - set(pooler_keys), model, model_options, key)
    for name in pooler_keys:
        parameter = model.get_parameter(name)
        if parameter.ndim == 2:
            nn.init.eye_(parameter)
    return getattr(model, "vision_model", model)


def check_pooled_output(model: Any, processor: Any, model_options: Model, text_options: Model) -> None:
    """Raise UserError if a tower returns no pooled output for an image or a word."""
    import torch
    from PIL import Image

    model.eval()
    tokens = processor.tokenizer(["a"], return_tensors="pt")
    text_inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    pixels = processor.image_processor(Image.new("RGB", (64, 64)), return_tensors="pt")["pixel_values"]
    for key, name, config, embed in (
        (
            RECIPE_KEY,
            model_options.checkpoint,
            model.config.vision_config,
            lambda: model.get_image_features(pixel_values=pixels),
        ),
        (TEXT, text_options.checkpoint, model.config.text_config, lambda: model.get_text_features(**text_inputs)),
    ):
        try:
            with torch.no_grad():
                embed()
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise _tower_error(key, name, config, first_line(error)) from error


def _tower_error(key: str, name: str, config: Any, reason: str) -> UserError:
    examples = "a BERT, RoBERTa or MPNet" if key == TEXT else "a ViT, DINOv2 or Swin"
    return UserError(
        f"{key}: {name} is a {config.model_type!r} model, which cannot be paired. The projection needs a pooled output "
        f"of `hidden_size`, which this model does not return ({reason}). Choose {examples} checkpoint."
    )
