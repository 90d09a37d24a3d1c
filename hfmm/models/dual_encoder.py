"""The dual-encoder family: CLIP, SigLIP and their kin, and any vision checkpoint paired with any text checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from datasets import Features
from pydantic import Field

from hfmm.errors import UserError
from hfmm.models import checkpoint, pairing
from hfmm.models.checkpoint import locate, read, refuse_missing, weights
from hfmm.models.linear_modules import linear_modules
from hfmm.models.warm_start import warm_start
from hfmm.recipe import Model
from hfmm.strict import Strict

AUTO_CLASS = "AutoModelForZeroShotImageClassification"
ASSEMBLED = "vision-text-dual-encoder"
HIGHEST_SCALE = 100.0  # above it training becomes unstable (Radford et al. 2021, arXiv:2103.00020, section 2.5)
UNREAD = {"blip": ".crossattention.", "align": "text_model.pooler."}  # modules that no embedding depends on


class Options(Strict):
    """What `model` takes for this family."""

    text: str | None = Field(None, description="a text checkpoint, for a vision checkpoint that has none of its own")
    text_revision: str | None = None
    width: int = Field(256, ge=1, description="of the shared space; only read with `text`")
    vision: str | None = Field(
        None, description="a ViT, or a model with a tower of the same make, that the vision tower begins with"
    )
    vision_revision: str | None = None


def supported(auto_class: str) -> set[str]:
    """Return the model types that this family loads under an Auto class: dual encoders, and encoders of images."""
    if auto_class != AUTO_CLASS:
        return set()
    from transformers.models.auto import modeling_auto

    ready = set(modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES)
    towers = set(modeling_auto.MODEL_FOR_IMAGE_MAPPING_NAMES)
    return ready | towers | {ASSEMBLED}


def is_the_checkpoint(options: Options) -> bool:
    """Tell whether the model that is loaded is the checkpoint itself, so that an adapter can be put on that."""
    return options.text is None and options.vision is None


def processor(source: str, spec: Model, config: Any, options: Options) -> tuple[Any, Any]:
    """Return the config of both towers and the processor; raises UserError for a checkpoint without a text tower."""
    import transformers

    whole = hasattr(config, "text_config") or hasattr(config, "text_config_dict")
    if whole and options.text is not None:
        raise UserError(f"model.text: {spec.checkpoint} is a dual encoder and brings its own text tower; drop the key.")
    if not whole and options.text is None:
        raise UserError(
            f"model.checkpoint: {spec.checkpoint} is a {config.model_type!r} model and has no text tower, so it cannot "
            "match images with texts. Pair it with a text checkpoint, for example --set "
            "model.text=sentence-transformers/all-MiniLM-L6-v2, or choose a CLIP or SigLIP checkpoint."
        )
    if whole:
        return config, read(transformers.AutoProcessor, source, spec)
    image_processor = read(transformers.AutoImageProcessor, source, spec)
    text = _text(spec, options)
    text_source = locate(text, pairing.TEXT)
    text_config = checkpoint.config(text_source, text, pairing.TEXT)
    both = pairing.native_config(config, text_config, options.width, spec, text)
    tokenizer = read(transformers.AutoTokenizer, text_source, text, pairing.TEXT)
    return both, transformers.VisionTextDualEncoderProcessor(image_processor, tokenizer)


def load(
    source: str, spec: Model, config: Any, options: Options, features: Features, auto_class: str
) -> tuple[Any, Any]:
    """Return the model in fp32 and its processor.

    Raises UserError when a checkpoint lacks tensors, and for one that cannot be paired.
    """
    import transformers

    config, both = processor(source, spec, config, options)
    assembled = options.text is not None
    kind = (
        transformers.VisionTextDualEncoderModel if config.model_type == ASSEMBLED else getattr(transformers, auto_class)
    )
    if spec.init == "random":
        model = kind(config) if config.model_type == ASSEMBLED else kind.from_config(config, dtype="float32")
        _begin_scale(model)
    elif assembled:
        text = _text(spec, options)
        model = kind(config=config, vision_model=pairing.tower(spec), text_model=pairing.tower(text, pairing.TEXT))
    else:
        model, info = weights(kind, source, spec, config=config)
        refuse_missing(info["missing_keys"], model, spec)
    if assembled:
        pairing.refuse_unpooled(model, both, spec, _text(spec, options))
    if options.vision is not None:
        vision = {"checkpoint": options.vision, "revision": options.vision_revision}
        _begin_with(model, spec.model_copy(update=vision))
    return model, both


def _text(spec: Model, options: Options) -> Model:
    return spec.model_copy(update={"checkpoint": options.text, "revision": options.text_revision})


def _begin_scale(model: Any) -> None:
    """Begin the sigmoid loss as its paper does (arXiv:2303.15343, section 3.2), most pairs being wrong ones.

    The library leaves both at 0, where the loss of wrong pairs drowns that of the right ones for thousands of steps.
    """
    import torch

    if has_bias(model.config):
        with torch.no_grad():
            model.logit_scale.fill_(math.log(10))
            model.logit_bias.fill_(-10)


def _begin_with(model: Any, spec: Model) -> None:
    """Give the vision tower the weights of another; raises UserError where it has no place for them."""
    import transformers

    source = locate(spec, "model.vision")
    no_pooler = (
        {"add_pooling_layer": False} if checkpoint.config(source, spec, "model.vision").model_type == "vit" else {}
    )
    other, _ = weights(transformers.AutoModel, source, spec, "model.vision", **no_pooler)
    tower = next((getattr(other, name) for name in ("vision_tower", "vision_model") if hasattr(other, name)), other)
    try:
        warm_start(model.vision_model, tower)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"model.vision: {spec.checkpoint} does not fit the vision tower of this {model.config.model_type!r} model: "
            f"{error}."
        ) from error


def head(model: Any) -> list[str]:
    """Return the names of the projections, which train whole beside an adapter."""
    return [name for name, _ in model.named_children() if name in ("visual_projection", "text_projection")]


def lora_targets(model: Any) -> list[str]:
    """Return the names of all linear modules of both towers."""
    own = set(head(model))
    return [name for name in linear_modules(model, model) if name not in own]


def unread(model: Any) -> set[str]:
    """Return the names of the parameters that no embedding depends on, so that nothing would train them."""
    part = UNREAD.get(model.config.model_type)
    return {name for name, _ in model.named_parameters() if part and part in name}


def longest_text(config: Any, tokenizer: Any) -> int:
    """Return how many tokens, special ones counted, the text tower takes."""
    text = getattr(config, "text_config", None)
    positions = getattr(text, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(positions, tokenizer.model_max_length))


def reads_padding(config: Any) -> bool:
    """Tell whether a text must keep its padding: SigLIP takes the last of its 64 tokens for the text's embedding."""
    return "siglip" in config.model_type


def text_arguments(config: Any) -> dict[str, Any]:
    """Return how the tokenizer pads, as `pipeline` does: SigLIP was trained on 64 tokens with no attention mask."""
    if reads_padding(config):
        return {"padding": "max_length", "max_length": 64, "truncation": True}
    return {"padding": True}


def has_bias(config: Any) -> bool:
    """Tell whether the architecture saves a `logit_bias`, so that its logits stand for pairs one by one."""
    return "siglip" in config.model_type


def embed_images(model: Any, pixels: dict[str, Any]) -> Any:
    """Return the image embeddings (rows, width), not normalised."""
    return model.get_image_features(**pixels).pooler_output


def embed_texts(model: Any, tokens: dict[str, Any]) -> Any:
    """Return the text embeddings (rows, width), not normalised."""
    return model.get_text_features(**tokens).pooler_output


def pixel_part(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the vision tower reads in a batch."""
    return {key: batch[key] for key in ("pixel_values", "pixel_attention_mask", "spatial_shapes") if key in batch}


def token_part(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the text tower reads in a batch."""
    return {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}


def scale(model: Any) -> Any:
    """Return the factor from cosine to logit, a scalar tensor."""
    if hasattr(model, "temperature"):
        return 1 / model.temperature
    return model.logit_scale.exp().squeeze()


def bias(model: Any) -> Any:
    """Return what is added to a logit, a scalar tensor; 0 where the checkpoint has no `logit_bias`."""
    return model.logit_bias.squeeze() if hasattr(model, "logit_bias") else 0.0


def clamp_scale(model: Any) -> None:
    """Bring the factor from cosine to logit back to at most 100."""
    import torch

    with torch.no_grad():
        if hasattr(model, "temperature"):
            model.temperature.clamp_(min=1 / HIGHEST_SCALE)
        else:
            model.logit_scale.clamp_(max=math.log(HIGHEST_SCALE))
