"""A vision and a text checkpoint that never met become one dual encoder, which projects the pooled output of each."""

from __future__ import annotations

from typing import Any

from hfmm.errors import UserError
from hfmm.models.common.checkpoint import RECIPE_KEY, check_missing_keys, load_weights, resolve_checkpoint
from hfmm.recipe.schema import Model

TEXT = "model.text_model"


def paired_config(vision: Any, text: Any, width: int, spec: Model, text_spec: Model) -> Any:
    """Return the config of both towers and of the space of ``width`` dimensions that they are to share.

    Raises UserError for a tower that does not tell how wide its output is.
    """
    from transformers import VisionTextDualEncoderConfig

    for key, name, tower_config in ((RECIPE_KEY, spec.checkpoint, vision), (TEXT, text_spec.checkpoint, text)):
        if not hasattr(tower_config, "hidden_size"):
            raise _tower_error(key, name, tower_config, "its config has no hidden_size")
    return VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=width)


def load_tower(spec: Model, key: str = RECIPE_KEY) -> Any:
    """Return an encoder in fp32; raises UserError when its checkpoint cannot be had or lacks tensors.

    A pooler may be missing: many checkpoints were saved without, and its class always has one. It begins by passing
    on what it is given, not at random, as a stage may freeze it.
    """
    from torch import nn
    from transformers import AutoModel

    model, info = load_weights(AutoModel, resolve_checkpoint(spec, key), spec, key)
    pooler = [name for name in info["missing_keys"] if "pooler." in name]
    check_missing_keys(set(info["missing_keys"]) - set(pooler), model, spec, key)
    for name in pooler:
        parameter = model.get_parameter(name)
        if parameter.ndim == 2:
            nn.init.eye_(parameter)
    return getattr(model, "vision_model", model)


def check_pooled_output(model: Any, processor: Any, spec: Model, text_spec: Model) -> None:
    """Raise UserError where a tower gives no pooled output: found by one picture and one word, before any training."""
    import torch
    from PIL import Image

    model.eval()
    tokens = processor.tokenizer(["a"], return_tensors="pt")
    words = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    picture = processor.image_processor(Image.new("RGB", (64, 64)), return_tensors="pt")["pixel_values"]
    for key, name, config, embed in (
        (
            RECIPE_KEY,
            spec.checkpoint,
            model.config.vision_config,
            lambda: model.get_image_features(pixel_values=picture),
        ),
        (TEXT, text_spec.checkpoint, model.config.text_config, lambda: model.get_text_features(**words)),
    ):
        try:
            with torch.no_grad():
                embed()
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise _tower_error(key, name, config, str(error).splitlines()[0]) from error


def _tower_error(key: str, name: str, config: Any, reason: str) -> UserError:
    fitting = "a BERT, RoBERTa or MPNet" if key == TEXT else "a ViT, DINOv2 or Swin"
    return UserError(
        f"{key}: {name} is a {config.model_type!r} model, which cannot be paired: what is projected into the shared "
        f"space is one pooled output of `hidden_size`, and it gives none ({reason}). Choose {fitting} checkpoint."
    )
