"""The dual-encoder family: CLIP, SigLIP and their kin, and any vision checkpoint paired with any text checkpoint."""

from __future__ import annotations

import math
from typing import Any

from datasets import Features
from pydantic import Field

from hfmm.errors import UserError
from hfmm.models.common import checkpoint, tower_pairing
from hfmm.models.common.checkpoint import check_missing_keys, load_pretrained, load_weights, resolve_checkpoint
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.lora_targets import find_linear_modules
from hfmm.models.common.vit_to_clip import copy_vit_weights
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

AUTO_CLASS = "AutoModelForZeroShotImageClassification"
PAIRED_MODEL_TYPE = "vision-text-dual-encoder"
MAX_LOGIT_SCALE = 100.0  # above it training becomes unstable (Radford et al. 2021, arXiv:2103.00020, section 2.5)
UNUSED_MODULES = {"blip": ".crossattention.", "align": "text_model.pooler."}  # modules that no embedding depends on


class DualEncoderOptions(StrictModel):
    """What `model` takes for this family."""

    text_model: str | None = Field(
        None, description="a text checkpoint, for a vision checkpoint that has none of its own"
    )
    text_model_revision: str | None = None
    projection_dim: int = Field(256, ge=1, description="of the shared space; only read with `text_model`")
    init_vision_from: str | None = Field(
        None, description="a ViT, or a model with a tower of the same make, that the vision tower begins with"
    )
    init_vision_from_revision: str | None = None


class DualEncoder(ModelFamily):
    """Dual encoders: CLIP, SigLIP, and any vision checkpoint paired with any text checkpoint."""

    Options = DualEncoderOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class: dual encoders, and encoders of images."""
        if auto_class != AUTO_CLASS:
            return set()
        from transformers.models.auto import modeling_auto

        ready = set(modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES)
        towers = set(modeling_auto.MODEL_FOR_IMAGE_MAPPING_NAMES)
        return ready | towers | {PAIRED_MODEL_TYPE}

    def is_unmodified_checkpoint(self, options: DualEncoderOptions) -> bool:
        """Tell whether the model that is loaded is the checkpoint itself, so that an adapter can be put on that."""
        return options.text_model is None and options.init_vision_from is None

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: DualEncoderOptions
    ) -> tuple[Any, Any]:
        """Return the config of both towers and the processor; raises UserError for a checkpoint without a text tower."""
        import transformers

        whole = hasattr(config, "text_config") or hasattr(config, "text_config_dict")
        if whole and options.text_model is not None:
            raise UserError(
                f"model.text_model: {model_options.checkpoint} is a dual encoder and brings its own text tower; drop the key."
            )
        if not whole and options.text_model is None:
            raise UserError(
                f"model.checkpoint: {model_options.checkpoint} is a {config.model_type!r} model and has no text tower, so it cannot "
                "match images with texts. Pair it with a text checkpoint, for example --set "
                "model.text_model=sentence-transformers/all-MiniLM-L6-v2, or choose a CLIP or SigLIP checkpoint."
            )
        if whole:
            return config, load_pretrained(transformers.AutoProcessor, source, model_options)
        image_processor = load_pretrained(transformers.AutoImageProcessor, source, model_options)
        text = _text(model_options, options)
        text_source = resolve_checkpoint(text, tower_pairing.TEXT)
        text_config = checkpoint.config(text_source, text, tower_pairing.TEXT)
        processor = tower_pairing.paired_config(config, text_config, options.projection_dim, model_options, text)
        tokenizer = load_pretrained(transformers.AutoTokenizer, text_source, text, tower_pairing.TEXT)
        return processor, transformers.VisionTextDualEncoderProcessor(image_processor, tokenizer)

    def load(
        self,
        source: str,
        model_options: Model,
        config: Any,
        options: DualEncoderOptions,
        features: Features,
        auto_class: str,
    ) -> tuple[Any, Any]:
        """Return the model in fp32 and its processor.

        Raises UserError when a checkpoint lacks tensors, and for one that cannot be paired.
        """
        import transformers

        config, processor = self.load_processor(source, model_options, config, options)
        assembled = options.text_model is not None
        model_class = (
            transformers.VisionTextDualEncoderModel
            if config.model_type == PAIRED_MODEL_TYPE
            else getattr(transformers, auto_class)
        )
        if model_options.init == "random":
            model = (
                model_class(config)
                if config.model_type == PAIRED_MODEL_TYPE
                else model_class.from_config(config, dtype="float32")
            )
            _init_logit_scale(model)
        elif assembled:
            text = _text(model_options, options)
            model = model_class(
                config=config,
                vision_model=tower_pairing.load_tower(model_options),
                text_model=tower_pairing.load_tower(text, tower_pairing.TEXT),
            )
        else:
            model, info = load_weights(model_class, source, model_options, config=config)
            check_missing_keys(info["missing_keys"], model, model_options)
        if assembled:
            tower_pairing.check_pooled_output(model, processor, model_options, _text(model_options, options))
        if options.init_vision_from is not None:
            vision = {"checkpoint": options.init_vision_from, "revision": options.init_vision_from_revision}
            _init_vision_tower(model, model_options.model_copy(update=vision))
        return model, processor

    def modules_to_save(self, model: Any) -> list[str]:
        """Return the names of the projections, which train whole beside an adapter."""
        return [name for name, _ in model.named_children() if name in ("visual_projection", "text_projection")]

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of both towers."""
        own = set(self.modules_to_save(model))
        return [name for name in find_linear_modules(model, model) if name not in own]

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the names of the parameters that no embedding depends on, so that nothing would train them."""
        part = UNUSED_MODULES.get(model.config.model_type)
        return {name for name, _ in model.named_parameters() if part and part in name}

    def max_text_tokens(self, config: Any, tokenizer: Any) -> int:
        """Return how many tokens, special ones counted, the text tower takes."""
        text = getattr(config, "text_config", None)
        positions = getattr(text, "max_position_embeddings", None) or tokenizer.model_max_length
        return int(min(positions, tokenizer.model_max_length))

    def needs_fixed_padding(self, config: Any) -> bool:
        """Tell whether a text must keep its padding: SigLIP takes the last of its 64 tokens for the text's embedding."""
        return "siglip" in config.model_type

    def tokenizer_kwargs(self, config: Any) -> dict[str, Any]:
        """Return how the tokenizer pads, as `pipeline` does: SigLIP was trained on 64 tokens with no attention mask."""
        if self.needs_fixed_padding(config):
            return {"padding": "max_length", "max_length": 64, "truncation": True}
        return {"padding": True}

    def has_logit_bias(self, config: Any) -> bool:
        """Tell whether the architecture saves a `logit_bias`, so that its logits stand for pairs one by one."""
        return "siglip" in config.model_type

    def embed_images(self, model: Any, pixels: dict[str, Any]) -> Any:
        """Return the image embeddings (rows, width), not normalised."""
        return model.get_image_features(**pixels).pooler_output

    def embed_texts(self, model: Any, tokens: dict[str, Any]) -> Any:
        """Return the text embeddings (rows, width), not normalised."""
        return model.get_text_features(**tokens).pooler_output

    def logit_scale(self, model: Any) -> Any:
        """Return the factor from cosine to logit, a scalar tensor."""
        if hasattr(model, "temperature"):
            return 1 / model.temperature
        return model.logit_scale.exp().squeeze()

    def logit_bias(self, model: Any) -> Any:
        """Return what is added to a logit, a scalar tensor; 0 where the checkpoint has no `logit_bias`."""
        return model.logit_bias.squeeze() if hasattr(model, "logit_bias") else 0.0

    def clamp_logit_scale(self, model: Any) -> None:
        """Bring the factor from cosine to logit back to at most 100."""
        import torch

        with torch.no_grad():
            if hasattr(model, "temperature"):
                model.temperature.clamp_(min=1 / MAX_LOGIT_SCALE)
            else:
                model.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))


def _text(model_options: Model, options: DualEncoderOptions) -> Model:
    return model_options.model_copy(update={"checkpoint": options.text_model, "revision": options.text_model_revision})


def _init_logit_scale(model: Any) -> None:
    """Begin the sigmoid loss as its paper does (arXiv:2303.15343, section 3.2), most pairs being wrong ones.

    The library leaves both at 0, where the loss of wrong pairs drowns that of the right ones for thousands of steps.
    """
    import torch

    if FAMILY.has_logit_bias(model.config):
        with torch.no_grad():
            model.logit_scale.fill_(math.log(10))
            model.logit_bias.fill_(-10)


def _init_vision_tower(model: Any, model_options: Model) -> None:
    """Give the vision tower the weights of another; raises UserError where it has no place for them."""
    import transformers

    source = resolve_checkpoint(model_options, "model.init_vision_from")
    no_pooler = (
        {"add_pooling_layer": False}
        if checkpoint.config(source, model_options, "model.init_vision_from").model_type == "vit"
        else {}
    )
    other, _ = load_weights(transformers.AutoModel, source, model_options, "model.init_vision_from", **no_pooler)
    tower = next((getattr(other, name) for name in ("vision_tower", "vision_model") if hasattr(other, name)), other)
    try:
        copy_vit_weights(model.vision_model, tower)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"model.init_vision_from: {model_options.checkpoint} does not fit the vision tower of this {model.config.model_type!r} model: "
            f"{error}."
        ) from error


FAMILY = DualEncoder()
