"""Load the language model of a fused vision-language model, and add an image token to its tokenizer."""

from __future__ import annotations

from typing import Any

from hfmm.errors import UserError
from hfmm.models.common import chat_template, checkpoint
from hfmm.recipe.schema import Model

KEY = "model.language_model"
SUPPORTED_HINT = "Choose another, for example a Llama, Qwen, Gemma 3, SmolLM or GPT-2."
IMAGE_TOKEN = "<image>"  # replaced by LlavaProcessor


def config_and_tokenizer(model_options: Model) -> tuple[Any, Any]:
    """Return the config of a causal language model, and its tokenizer with an image token and a chat template.

    A model without a chat template gets the default one. Raises UserError for a checkpoint that is not a language
    model, or that already supports images.
    """
    from transformers import AddedToken, AutoTokenizer
    from transformers.models.auto import modeling_auto

    source = checkpoint.resolve_checkpoint(model_options, KEY)
    config = checkpoint.config(source, model_options, KEY)
    if config.model_type in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise UserError(
            f"{KEY}: {model_options.checkpoint} is a {config.model_type!r} model, which reads images itself. Use it "
            f"as model.checkpoint without {KEY}, or choose a language model."
        )
    causal = set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) & set(modeling_auto.MODEL_MAPPING_NAMES)
    if config.model_type not in causal:
        raise UserError(
            f"{KEY}: {model_options.checkpoint} is a {config.model_type!r} model, not a supported language model. "
            f"{SUPPORTED_HINT}"
        )
    tokenizer = checkpoint.load_pretrained(AutoTokenizer, source, model_options, KEY)
    if IMAGE_TOKEN in tokenizer.get_vocab():
        raise UserError(
            f"{KEY}: the tokenizer of {model_options.checkpoint} already has a token {IMAGE_TOKEN}, which may have "
            "another meaning. Choose a language model that was not trained on images."
        )
    if tokenizer.eos_token is None:
        raise UserError(
            f"{KEY}: the tokenizer of {model_options.checkpoint} has no EOS token, so generation would not stop."
        )
    tokenizer.add_tokens([AddedToken(IMAGE_TOKEN, special=True, normalized=False)], special_tokens=True)
    pad_left(tokenizer)
    template = tokenizer.get_chat_template() if tokenizer.chat_template else chat_template.default_template(tokenizer)
    tokenizer.chat_template = chat_template.add_image_support(template, IMAGE_TOKEN)
    return config, tokenizer


def pad_left(tokenizer: Any) -> None:
    """Make a tokenizer pad on the left, because generated tokens are appended on the right."""
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.padding_side = "left"
    # Saved with the tokenizer. Otherwise it would be saved with the padding side of the last batch.
    tokenizer.init_kwargs["padding_side"] = "left"


def load(model_options: Model) -> Any:
    """Return the language model in fp32; raises UserError if it could not be loaded or lacks tensors."""
    from transformers import AutoModelForCausalLM

    model, info = checkpoint.load_weights(
        AutoModelForCausalLM, checkpoint.resolve_checkpoint(model_options, KEY), model_options, KEY
    )
    checkpoint.check_missing_keys(info["missing_keys"], model, model_options, KEY)
    return model


def generation_config(model_options: Model, key: str, config: Any, processor: Any, max_new_tokens: int) -> Any:
    """Return a generation config for greedy decoding.

    Generation stops at the EOS tokens of the checkpoint, and at the token with which the chat template ends an answer.

    Args:
        model_options: The ``model`` section of the recipe.
        key: The recipe key of the checkpoint.
        config: The config of the model.
        processor: The processor or the tokenizer of the model.
        max_new_tokens: The longest answer in tokens.
    """
    from transformers import GenerationConfig

    source, tokenizer = checkpoint.resolve_checkpoint(model_options, key), getattr(processor, "tokenizer", processor)
    try:
        checkpoint_eos = GenerationConfig.from_pretrained(source, revision=model_options.revision).eos_token_id
    except OSError:
        checkpoint_eos = GenerationConfig.from_model_config(config).eos_token_id
    eos_token_ids = {
        tokenizer.eos_token_id,
        *(checkpoint_eos if isinstance(checkpoint_eos, list) else [checkpoint_eos]),
    } - {None}
    eos_token_ids.update(chat_template.answer_end_tokens(processor) or ())
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(eos_token_ids),
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=max_new_tokens,
    )
