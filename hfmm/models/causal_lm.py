"""The family of causal language models: every model that `AutoModelForCausalLM` loads and that has a chat template."""

from __future__ import annotations

import warnings
from typing import Any

from datasets import Features
from pydantic import Field

from hfmm.models.common import chat_template, language_model
from hfmm.models.common.checkpoint import RECIPE_KEY, check_missing_keys, load_pretrained, load_weights
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.lora_targets import find_linear_modules
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

AUTO_CLASS = "AutoModelForCausalLM"


class CausalLMOptions(StrictModel):
    """The options of `model` for this family."""

    max_new_tokens: int = Field(
        64, ge=1, description="longest answer in tokens; saved in the generation config of the model"
    )


class CausalLM(ModelFamily):
    """Causal language models with a chat template."""

    Options = CausalLMOptions
    supports_quantization = True

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class."""
        if auto_class != AUTO_CLASS:
            return set()
        from transformers.models.auto import modeling_auto

        return set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: CausalLMOptions
    ) -> tuple[Any, Any]:
        """Return the config and the tokenizer of a checkpoint; raises UserError if it could not be loaded.

        Warns if its chat template is changed.
        """
        tokenizer, changes = _tokenizer(source, model_options)
        for change in changes:
            warnings.warn(change, stacklevel=2)
        return config, tokenizer

    def load(
        self,
        source: str,
        model_options: Model,
        config: Any,
        options: CausalLMOptions,
        features: Features,
        auto_class: str,
    ) -> tuple[Any, Any]:
        """Return the model in fp32 with a generation config for short greedy answers, and its tokenizer.

        Raises UserError if the checkpoint lacks tensors.
        """
        import transformers

        model_class = getattr(transformers, auto_class)
        tokenizer, _ = _tokenizer(source, model_options)
        if model_options.init == "random":
            model = model_class.from_config(config, dtype="float32").eval()
        else:
            model, info = load_weights(model_class, source, model_options)
            check_missing_keys(info["missing_keys"], model, model_options)
        model.generation_config = language_model.generation_config(
            model_options, RECIPE_KEY, model.config, tokenizer, options.max_new_tokens
        )
        return model, tokenizer

    def modules_to_save(self, model: Any) -> list[str]:
        """Return an empty list: a language model keeps its head."""
        return []

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules except the head."""
        return find_linear_modules(model, model.base_model)


def _tokenizer(source: str, model_options: Model) -> tuple[Any, list[str]]:
    """Return the tokenizer, and a message for each change of its chat template."""
    import transformers

    tokenizer = load_pretrained(transformers.AutoTokenizer, source, model_options)
    language_model.pad_left(tokenizer)
    return tokenizer, chat_template.make_deterministic(tokenizer, RECIPE_KEY, model_options.checkpoint)


FAMILY = CausalLM()
