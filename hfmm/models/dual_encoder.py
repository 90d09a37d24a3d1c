"""The family of dual encoders: CLIP, SigLIP and similar models, and any vision encoder paired with a text encoder."""

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
MAX_LOGIT_SCALE = 100.0  # prevents instability (Radford et al. 2021, arXiv:2103.00020, section 2.5)
UNUSED_MODULES = {"blip": ".crossattention.", "align": "text_model.pooler."}  # no embedding depends on them


class DualEncoderOptions(StrictModel):
    """The options of `model` for this family."""

    text_model: str | None = Field(None, description="the text encoder, for a vision checkpoint without one")
    text_model_revision: str | None = None
    projection_dim: int = Field(256, ge=1, description="dimensions of the shared space; only with `text_model`")
    init_vision_from: str | None = Field(
        None, description="a ViT, or a model with a tower of the same class, to initialize the vision tower from"
    )
    init_vision_from_revision: str | None = None


class DualEncoder(ModelFamily):
    """Dual encoders: CLIP, SigLIP, and any vision checkpoint paired with any text checkpoint."""

    Options = DualEncoderOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class: dual encoders and vision encoders."""
        if auto_class != AUTO_CLASS:
            return set()
        from transformers.models.auto import modeling_auto

        dual_encoders = set(modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES)
        towers = set(modeling_auto.MODEL_FOR_IMAGE_MAPPING_NAMES)
        return dual_encoders | towers | {PAIRED_MODEL_TYPE}

    def is_unmodified_checkpoint(self, options: DualEncoderOptions) -> bool:
        """Tell whether the options load one checkpoint as it is, so that an adapter can name it as its base model."""
        return options.text_model is None and options.init_vision_from is None

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: DualEncoderOptions
    ) -> tuple[Any, Any]:
        """Return the config of both towers and the processor; raises UserError without a text tower or with two."""
        import transformers

        is_dual_encoder = hasattr(config, "text_config") or hasattr(config, "text_config_dict")
        if is_dual_encoder and options.text_model is not None:
            raise UserError(f"model.text_model: {model_options.checkpoint} has its own text tower. Remove the key.")
        if not is_dual_encoder and options.text_model is None:
            raise UserError(
                f"model.checkpoint: {model_options.checkpoint} is a {config.model_type!r} model and has no "
                "text tower. Add one, for example with --set "
                "model.text_model=sentence-transformers/all-MiniLM-L6-v2, or choose a CLIP or SigLIP checkpoint."
            )
        if is_dual_encoder:
            return config, load_pretrained(transformers.AutoProcessor, source, model_options)
        image_processor = load_pretrained(transformers.AutoImageProcessor, source, model_options)
        text_options = _text_options(model_options, options)
        text_source = resolve_checkpoint(text_options, tower_pairing.TEXT)
        text_config = checkpoint.config(text_source, text_options, tower_pairing.TEXT)
        config = tower_pairing.paired_config(config, text_config, options.projection_dim, model_options, text_options)
        tokenizer = load_pretrained(transformers.AutoTokenizer, text_source, text_options, tower_pairing.TEXT)
        return config, transformers.VisionTextDualEncoderProcessor(image_processor, tokenizer)

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

        Raises UserError if a checkpoint lacks tensors or cannot be paired.
        """
        import transformers

        config, processor = self.load_processor(source, model_options, config, options)
        is_pair = options.text_model is not None
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
        elif is_pair:
            text_options = _text_options(model_options, options)
            model = model_class(
                config=config,
                vision_model=tower_pairing.load_tower(model_options),
                text_model=tower_pairing.load_tower(text_options, tower_pairing.TEXT),
            )
        else:
            model, info = load_weights(model_class, source, model_options, config=config)
            check_missing_keys(info["missing_keys"], model, model_options)
        if is_pair:
            tower_pairing.check_pooled_output(model, processor, model_options, _text_options(model_options, options))
        if options.init_vision_from is not None:
            source_options = {"checkpoint": options.init_vision_from, "revision": options.init_vision_from_revision}
            _init_vision_tower(model, model_options.model_copy(update=source_options))
        return model, processor

    def modules_to_save(self, model: Any) -> list[str]:
        """Return the names of the projections."""
        return [name for name, _ in model.named_children() if name in ("visual_projection", "text_projection")]

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of both towers."""
        projections = set(self.modules_to_save(model))
        return [name for name in find_linear_modules(model, model) if name not in projections]

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the names of the parameters that no embedding depends on."""
        unused = UNUSED_MODULES.get(model.config.model_type)
        return {name for name, _ in model.named_parameters() if unused and unused in name}

    def max_text_tokens(self, config: Any, tokenizer: Any) -> int:
        """Return the maximum length of a text in tokens, including special tokens."""
        text_config = getattr(config, "text_config", None)
        positions = getattr(text_config, "max_position_embeddings", None) or tokenizer.model_max_length
        return int(min(positions, tokenizer.model_max_length))

    def needs_fixed_padding(self, config: Any) -> bool:
        """Tell whether texts need a fixed length: SigLIP reads the embedding of a text from the last of 64 tokens."""
        return "siglip" in config.model_type

    def tokenizer_kwargs(self, config: Any) -> dict[str, Any]:
        """Return the arguments of the tokenizer, as in `pipeline`. SigLIP was trained without an attention mask."""
        if self.needs_fixed_padding(config):
            return {"padding": "max_length", "max_length": 64, "truncation": True}
        return {"padding": True}

    def has_logit_bias(self, config: Any) -> bool:
        """Tell whether the architecture saves a `logit_bias`. Its scores are then sigmoids of the single pairs."""
        return "siglip" in config.model_type

    def embed_images(self, model: Any, pixels: dict[str, Any]) -> Any:
        """Return the image embeddings `(batch_size, projection_dim)`, not normalized."""
        return model.get_image_features(**pixels).pooler_output

    def embed_texts(self, model: Any, tokens: dict[str, Any]) -> Any:
        """Return the text embeddings `(batch_size, projection_dim)`, not normalized."""
        return model.get_text_features(**tokens).pooler_output

    def logit_scale(self, model: Any) -> Any:
        """Return the factor between cosine similarities and logits, a scalar tensor."""
        if hasattr(model, "temperature"):
            return 1 / model.temperature
        return model.logit_scale.exp().squeeze()

    def logit_bias(self, model: Any) -> Any:
        """Return the bias of the logits, a scalar tensor, or 0 if the checkpoint has no `logit_bias`."""
        return model.logit_bias.squeeze() if hasattr(model, "logit_bias") else 0.0

    def clamp_logit_scale(self, model: Any) -> None:
        """Clamp the logit scale to at most 100."""
        import torch

        with torch.no_grad():
            if hasattr(model, "temperature"):
                model.temperature.clamp_(min=1 / MAX_LOGIT_SCALE)
            else:
                model.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))


def _text_options(model_options: Model, options: DualEncoderOptions) -> Model:
    return model_options.model_copy(update={"checkpoint": options.text_model, "revision": options.text_model_revision})


def _init_logit_scale(model: Any) -> None:
    """Initialize the scale and the bias of the sigmoid loss as in SigLIP (arXiv:2303.15343, section 3.2).

    transformers initializes both with 0. The loss of the many negative pairs then dominates for thousands of steps.
    """
    import torch

    if FAMILY.has_logit_bias(model.config):
        with torch.no_grad():
            model.logit_scale.fill_(math.log(10))
            model.logit_bias.fill_(-10)


def _init_vision_tower(model: Any, model_options: Model) -> None:
    """Initialize the vision tower from another model; raises UserError if its weights do not fit."""
    import transformers

    key = "model.init_vision_from"
    source = resolve_checkpoint(model_options, key)
    model_type = checkpoint.config(source, model_options, key).model_type
    kwargs = {"add_pooling_layer": False} if model_type == "vit" else {}
    other, _ = load_weights(transformers.AutoModel, source, model_options, key, **kwargs)
    tower = next((getattr(other, name) for name in ("vision_tower", "vision_model") if hasattr(other, name)), other)
    try:
        copy_vit_weights(model.vision_model, tower)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{key}: {model_options.checkpoint} does not fit the vision tower of this {model.config.model_type!r} "
            f"model: {error}."
        ) from error


FAMILY = DualEncoder()
