"""A language model that is to see: its config, its weights, and its tokenizer, which learns a token for pictures."""

from __future__ import annotations

from typing import Any

from hfmm.errors import UserError
from hfmm.models.common import chat_template, checkpoint
from hfmm.recipe.schema import Model

KEY = "model.language_model"
SUPPORTED_HINT = "Choose another, for example a Llama, Qwen, Gemma 3, SmolLM or GPT-2."
IMAGE_TOKEN = "<image>"  # what LlavaProcessor looks for


def config_and_tokenizer(spec: Model) -> tuple[Any, Any]:
    """Return the config of a causal language model, and its tokenizer with an image token and a chat template for it.

    A model without a template gets a written one. Raises UserError for a checkpoint that is no language model,
    and for one that was given pictures already.
    """
    from transformers import AddedToken, AutoTokenizer
    from transformers.models.auto import modeling_auto

    source = checkpoint.resolve_checkpoint(spec, KEY)
    config = checkpoint.config(source, spec, KEY)
    if config.model_type in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise UserError(
            f"{KEY}: {spec.checkpoint} is a {config.model_type!r} model and sees by itself. Name it as "
            f"model.checkpoint and drop {KEY}, or choose a language model."
        )
    causal = set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) & set(modeling_auto.MODEL_MAPPING_NAMES)
    if config.model_type not in causal:
        raise UserError(
            f"{KEY}: {spec.checkpoint} is a {config.model_type!r} model, no causal language model to build on. {SUPPORTED_HINT}"
        )
    tokenizer = checkpoint.load_pretrained(AutoTokenizer, source, spec, KEY)
    if IMAGE_TOKEN in tokenizer.get_vocab():
        raise UserError(
            f"{KEY}: the tokenizer of {spec.checkpoint} already has a token {IMAGE_TOKEN}, so that it would stand for "
            "pictures and for what it was trained on. Choose a language model that was not given pictures before."
        )
    if tokenizer.eos_token is None:
        raise UserError(f"{KEY}: the tokenizer of {spec.checkpoint} has no end token, so no answer would ever end.")
    tokenizer.add_tokens([AddedToken(IMAGE_TOKEN, special=True, normalized=False)], special_tokens=True)
    pad_left(tokenizer)
    own = tokenizer.get_chat_template() if tokenizer.chat_template else chat_template.default_template(tokenizer)
    tokenizer.chat_template = chat_template.add_image_support(own, IMAGE_TOKEN)
    return config, tokenizer


def pad_left(tokenizer: Any) -> None:
    """Let a tokenizer pad its batches on the left: what is generated goes on at the right."""
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.padding_side = "left"
    # Read when a saved tokenizer is loaded again, which else pads on the side where the last batch was padded.
    tokenizer.init_kwargs["padding_side"] = "left"


def load(spec: Model) -> Any:
    """Return the language model in fp32; raises UserError when it cannot be had or lacks tensors."""
    from transformers import AutoModelForCausalLM

    model, info = checkpoint.load_weights(AutoModelForCausalLM, checkpoint.resolve_checkpoint(spec, KEY), spec, KEY)
    checkpoint.check_missing_keys(info["missing_keys"], model, spec, KEY)
    return model


def generation_config(spec: Model, key: str, config: Any, processor: Any, longest: int) -> Any:
    """Return settings that take the likeliest token each time, ``longest`` at most.

    They stop where the checkpoint does, and where its chat template, or that of its processor, ends an answer. ``key``
    is the recipe's for the checkpoint.
    """
    from transformers import GenerationConfig

    source, tokenizer = checkpoint.resolve_checkpoint(spec, key), getattr(processor, "tokenizer", processor)
    try:
        known = GenerationConfig.from_pretrained(source, revision=spec.revision).eos_token_id
    except OSError:
        known = GenerationConfig.from_model_config(config).eos_token_id
    ends = {tokenizer.eos_token_id, *(known if isinstance(known, list) else [known])} - {None}
    ends.update(chat_template.answer_end_tokens(processor) or ())
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=longest,
    )
