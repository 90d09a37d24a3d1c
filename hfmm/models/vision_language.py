"""The LLaVA family: any vision encoder fused with any causal language model, and image-text models that are ready."""

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
PROJECTORS = ("multi_modal_projector", "connector")  # what the library's image-text models call theirs


class VisionLanguageOptions(StrictModel):
    """What `model` takes for this family."""

    language_model: str | None = Field(
        None, description="a causal language model, for a vision checkpoint that has none of its own"
    )
    language_model_revision: str | None = None
    connector: Literal["mlp", "pixel_shuffle"] = Field(
        "mlp",
        description="mlp: LLaVA's two layers; pixel_shuffle: AyaVision's gated ones, 2 x 2 patches an image token; only read "
        "with `language_model`",
    )
    vision_feature_layer: int | None = Field(
        None,
        description="of the vision encoder, 1 the first, -1 the last; by default -2 where it has a class token, else "
        "-1; only read with `language_model`",
    )
    max_new_tokens: int = Field(
        64, ge=1, description="of an answer; saved with the model, so that it stops there whoever asks it"
    )


class VisionLanguage(ModelFamily):
    """Vision-language models: ready image-text checkpoints, and a vision encoder fused with a language model."""

    Options = VisionLanguageOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class: image-text models, and encoders of images."""
        if auto_class != AUTO_CLASS:
            return set()
        from transformers.models.auto import modeling_auto

        towers = set(modeling_auto.MODEL_FOR_IMAGE_MAPPING_NAMES)
        towers |= {name for name in modeling_auto.MODEL_MAPPING_NAMES if name.endswith("_vision_model")}
        pairs = set(modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES) | {"vision-text-dual-encoder"}
        return _native_model_types() | towers | pairs

    def is_unmodified_checkpoint(self, options: VisionLanguageOptions) -> bool:
        """Tell whether the model that is loaded is the checkpoint itself, so that an adapter can be put on that."""
        return options.language_model is None

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: VisionLanguageOptions
    ) -> tuple[Any, Any]:
        """Return the config of the whole model, which knows how long answers may get, and its processor; reads no weights.

        Warns where a chat template is written or changed. Raises UserError for two checkpoints that do not make one model.
        """
        whole, processor, changes = _config_and_processor(source, model_options, config, options)
        for change in changes:
            warnings.warn(change, stacklevel=2)
        if options.language_model is not None and chat_template.is_default_template(processor.chat_template):
            warnings.warn(
                f"{language_model.KEY}: {options.language_model} has no chat template, so one is written: a line `USER: ...` and "
                f"a line `ASSISTANT: ...{processor.tokenizer.eos_token}` by turns.",
                stacklevel=2,
            )
        whole.max_new_tokens = options.max_new_tokens
        return whole, processor

    def load(
        self,
        source: str,
        model_options: Model,
        config: Any,
        options: VisionLanguageOptions,
        features: Features,
        auto_class: str,
    ) -> tuple[Any, Any]:
        """Return the model in fp32, which answers greedily and briefly, and its processor; a new projector is untrained.

        Raises UserError when a checkpoint lacks tensors, and for two that cannot be fused truthfully.
        """
        import transformers

        fused = options.language_model is not None
        config, processor, _ = _config_and_processor(source, model_options, config, options)
        if model_options.init == "random":
            model = getattr(transformers, auto_class).from_config(config, dtype="float32").eval()
        elif fused:
            vision = _pretrained(transformers.AutoModel, source, model_options)
            vision = getattr(vision, "vision_model", vision)
            speaker = language_model.load(_language(model_options, options))
            model = assemble_llava(config, vision, speaker, auto_class, str(options.language_model))
        else:
            model = _pretrained(getattr(transformers, auto_class), source, model_options)
        if fused:
            check_image_token_count(model, processor, model_options.checkpoint)
        speaks = (_language(model_options, options), language_model.KEY) if fused else (model_options, RECIPE_KEY)
        model.generation_config = language_model.generation_config(
            *speaks, model.config, processor, options.max_new_tokens
        )
        return model, processor

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the names of the parameters that no feature of a picture depends on, so that they cannot train."""
        return vision_tower.unused_parameters(model)

    def modules_to_save(self, model: Any) -> list[str]:
        """Return the name of the projector, which trains whole beside an adapter."""
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
    """Return the config of the whole model, its processor, and what was changed of the chat template."""
    import transformers

    ready = config.model_type in _native_model_types()
    if ready and options.language_model is not None:
        raise UserError(
            f"{language_model.KEY}: {model_options.checkpoint} brings its own language model; drop the key."
        )
    if not ready and options.language_model is None:
        raise UserError(
            f"model.checkpoint: {model_options.checkpoint} is a {config.model_type!r} model and has no language model, so it "
            "cannot speak of what it sees. Fuse it with one, for example --set "
            f"{language_model.KEY}=HuggingFaceTB/SmolLM2-135M-Instruct, or choose an image-text checkpoint."
        )
    if ready:
        processor = load_pretrained(transformers.AutoProcessor, source, model_options)
        language_model.pad_left(processor.tokenizer)
        return config, processor, chat_template.make_deterministic(processor, RECIPE_KEY, model_options.checkpoint)
    image_processor = load_pretrained(transformers.AutoImageProcessor, source, model_options)
    vision, pooled = getattr(config, "vision_config", config), options.connector == "pixel_shuffle"
    seen = vision_features(vision, image_processor, options.vision_feature_layer, model_options.checkpoint)
    text, tokenizer = language_model.config_and_tokenizer(_language(model_options, options))
    processor = transformers.LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=seen.patch_size * PIXEL_SHUFFLE_FACTOR if pooled else seen.patch_size,
        vision_feature_select_strategy=seen.feature_select_strategy,
        num_additional_image_tokens=seen.extra,
        chat_template=tokenizer.chat_template,
    )
    changes = chat_template.make_deterministic(processor, language_model.KEY, str(options.language_model))
    return llava_config(vision, text, tokenizer, seen, pooled, model_options.checkpoint), processor, changes


def _pretrained(model_class: Any, source: str, model_options: Model) -> Any:
    """Return a model in fp32; a pooler, which no feature passes through, may be missing."""
    model, info = load_weights(model_class, source, model_options)
    check_missing_keys((name for name in info["missing_keys"] if "pooler." not in name), model, model_options)
    return model


def _language(model_options: Model, options: VisionLanguageOptions) -> Model:
    return model_options.model_copy(
        update={"checkpoint": options.language_model, "revision": options.language_model_revision}
    )


FAMILY = VisionLanguage()
