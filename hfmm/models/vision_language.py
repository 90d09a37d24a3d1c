"""The family of vision-language models: image-text checkpoints, and any vision encoder fused with a language model."""

from __future__ import annotations

import warnings
from typing import Any, Literal

from datasets import Features
from pydantic import Field

from hfmm.errors import UserError
from hfmm.models.common import chat_template, language_model, vision_tower
from hfmm.models.common.checkpoint import RECIPE_KEY, check_missing_keys, load_pretrained, load_weights
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.llava_assembly import (
    PIXEL_SHUFFLE_FACTOR,
    assemble_llava,
    check_image_token_count,
    llava_config,
)
from hfmm.models.common.lora_targets import find_linear_modules
from hfmm.models.common.vision_features import vision_features
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

AUTO_CLASS = "AutoModelForImageTextToText"
PROJECTORS = ("multi_modal_projector", "connector")  # the names of the projector in transformers


class VisionLanguageOptions(StrictModel):
    """The options of `model` for this family."""

    language_model: str | None = Field(None, description="a causal language model, for a vision checkpoint without one")
    language_model_revision: str | None = None
    connector: Literal["mlp", "pixel_shuffle"] = Field(
        "mlp",
        description="mlp: the two layers of LLaVA; pixel_shuffle: the gated layers of AyaVision, which merge 2 x 2 "
        "patches into an image token; only with `language_model`",
    )
    vision_feature_layer: int | None = Field(
        None,
        description="layer of the vision encoder, 1 the first, -1 the last; by default -2 if it has a class token, "
        "otherwise -1; only with `language_model`",
    )
    max_new_tokens: int = Field(
        64, ge=1, description="longest answer in tokens; saved in the generation config of the model"
    )


class VisionLanguage(ModelFamily):
    """Vision-language models: image-text checkpoints, and a vision encoder fused with a language model."""

    Options = VisionLanguageOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class: image-text models and vision encoders."""
        if auto_class != AUTO_CLASS:
            return set()
        from transformers.models.auto import modeling_auto

        towers = set(modeling_auto.MODEL_FOR_IMAGE_MAPPING_NAMES)
        towers |= {name for name in modeling_auto.MODEL_MAPPING_NAMES if name.endswith("_vision_model")}
        dual_encoders = set(modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES) | {
            "vision-text-dual-encoder"
        }
        return _native_model_types() | towers | dual_encoders

    def is_unmodified_checkpoint(self, options: VisionLanguageOptions) -> bool:
        """Tell whether the options load one checkpoint as it is, so that an adapter can name it as its base model."""
        return options.language_model is None

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: VisionLanguageOptions
    ) -> tuple[Any, Any]:
        """Return the config of the whole model, with ``max_new_tokens``, and its processor. No weights are read.

        Warns if a chat template is written or changed. Raises UserError for two checkpoints that cannot be fused.
        """
        config, processor, changes = _config_and_processor(source, model_options, config, options)
        for change in changes:
            warnings.warn(change, stacklevel=2)
        if options.language_model is not None and chat_template.is_default_template(processor.chat_template):
            warnings.warn(
                f"{language_model.KEY}: {options.language_model} has no chat template, so a default one is used: "
                f"`USER: ...` and `ASSISTANT: ...{processor.tokenizer.eos_token}`, each on its own line.",
                stacklevel=2,
            )
        config.max_new_tokens = options.max_new_tokens
        return config, processor

    def load(
        self,
        source: str,
        model_options: Model,
        config: Any,
        options: VisionLanguageOptions,
        features: Features,
        auto_class: str,
    ) -> tuple[Any, Any]:
        """Return the model in fp32 with a generation config for short greedy answers, and its processor.

        A new projector is untrained. Raises UserError if a checkpoint lacks tensors, and for two that cannot be fused.
        """
        import transformers

        is_fused = options.language_model is not None
        config, processor, _ = _config_and_processor(source, model_options, config, options)
        if model_options.init == "random":
            model = getattr(transformers, auto_class).from_config(config, dtype="float32").eval()
        elif is_fused:
            vision = _load_model(transformers.AutoModel, source, model_options)
            vision = getattr(vision, "vision_model", vision)
            causal_lm = language_model.load(_language_options(model_options, options))
            model = assemble_llava(config, vision, causal_lm, auto_class, str(options.language_model))
        else:
            model = _load_model(getattr(transformers, auto_class), source, model_options)
        if is_fused:
            check_image_token_count(model, processor, model_options.checkpoint)
        language_options, key = model_options, RECIPE_KEY
        if is_fused:
            language_options, key = _language_options(model_options, options), language_model.KEY
        model.generation_config = language_model.generation_config(
            language_options, key, model.config, processor, options.max_new_tokens
        )
        return model, processor

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the names of the parameters that no feature of an image depends on."""
        return vision_tower.unused_parameters(model)

    def modules_to_save(self, model: Any) -> list[str]:
        """Return the name of the projector."""
        return [name for name, _ in model.named_modules() if name.rpartition(".")[2] in PROJECTORS]

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of the language model."""
        return find_linear_modules(model, model.get_decoder())


def _native_model_types() -> set[str]:
    from transformers.models.auto import modeling_auto

    return set(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)


def _config_and_processor(
    source: str, model_options: Model, config: Any, options: VisionLanguageOptions
) -> tuple[Any, Any, list[str]]:
    """Return the config of the whole model, its processor, and a message for each change of the chat template."""
    import transformers

    is_native = config.model_type in _native_model_types()
    if is_native and options.language_model is not None:
        raise UserError(f"{language_model.KEY}: {model_options.checkpoint} has its own language model. Remove the key.")
    if not is_native and options.language_model is None:
        raise UserError(
            f"model.checkpoint: {model_options.checkpoint} is a {config.model_type!r} model and has no "
            f"language model. Add one, for example with --set {language_model.KEY}=HuggingFaceTB/SmolLM2-135M-Instruct,"
            " or choose an image-text checkpoint."
        )
    if is_native:
        processor = load_pretrained(transformers.AutoProcessor, source, model_options)
        language_model.pad_left(processor.tokenizer)
        return config, processor, chat_template.make_deterministic(processor, RECIPE_KEY, model_options.checkpoint)
    image_processor = load_pretrained(transformers.AutoImageProcessor, source, model_options)
    vision_config, pixel_shuffle = getattr(config, "vision_config", config), options.connector == "pixel_shuffle"
    features = vision_features(vision_config, image_processor, options.vision_feature_layer, model_options.checkpoint)
    text_config, tokenizer = language_model.config_and_tokenizer(_language_options(model_options, options))
    processor = transformers.LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=features.patch_size * PIXEL_SHUFFLE_FACTOR if pixel_shuffle else features.patch_size,
        vision_feature_select_strategy=features.feature_select_strategy,
        num_additional_image_tokens=features.extra,
        chat_template=tokenizer.chat_template,
    )
    changes = chat_template.make_deterministic(processor, language_model.KEY, str(options.language_model))
    config = llava_config(vision_config, text_config, tokenizer, features, pixel_shuffle, model_options.checkpoint)
    return config, processor, changes


def _load_model(model_class: Any, source: str, model_options: Model) -> Any:
    """Return a model in fp32. The pooler may be missing, because the features do not depend on it."""
    model, info = load_weights(model_class, source, model_options)
    check_missing_keys((name for name in info["missing_keys"] if "pooler." not in name), model, model_options)
    return model


def _language_options(model_options: Model, options: VisionLanguageOptions) -> Model:
    return model_options.model_copy(
        update={"checkpoint": options.language_model, "revision": options.language_model_revision}
    )


FAMILY = VisionLanguage()
