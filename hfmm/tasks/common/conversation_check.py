"""The checks of a conversation before training: it is complete, has something to learn and is not too long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hfmm.data.common.images import decode
from hfmm.data.common.messages import Message, assistant_texts, normalize_messages
from hfmm.errors import UserError
from hfmm.tasks.common.assistant_masks import answer_spans
from hfmm.tasks.common.chat import ChatGenerator
from hfmm.tasks.common.inputs import ends_with_assistant


def make_conversation_validator(config: Any, processor: Any) -> Callable[[Mapping[str, Any]], None]:
    """Return a function that raises UserError for a conversation that is too long or has nothing to learn.

    Raises UserError itself for a model without a chat template.
    """
    require_chat_template(processor)
    generator = ChatGenerator(processor)
    max_tokens = getattr(config.get_text_config(), "max_position_embeddings", None)
    max_new_tokens = getattr(config, "max_new_tokens", 0)

    def validate(row: Mapping[str, Any]) -> None:
        messages, images = normalize_messages(row), row["images"]
        num_answers = count_answers(messages)
        kinds = row.get("kinds")
        if kinds is not None and len(kinds) != num_answers:
            raise UserError(f"it has {len(kinds)} kinds of questions, but {num_answers} answers")
        if not images:
            raise UserError("it has no image, and this task needs at least one")
        text, spans = answer_spans(processor, messages)
        if text.count(processor.image_token) != len(images):
            raise UserError(f"one of its texts contains {processor.image_token}, which is reserved for images")
        num_text_tokens, num_image_tokens = generator.count_tokens(text, [decode(image) for image in images])
        parts = f"{' + '.join(map(str, num_image_tokens))} of images and {num_text_tokens} of text"
        advice = "shorten it, or choose a model with a longer context or fewer tokens per image"
        if max_tokens and (total := num_text_tokens + sum(num_image_tokens)) > max_tokens:
            raise UserError(f"it has {total} tokens, {parts}, and the model reads at most {max_tokens}: {advice}")
        prompt_text = text[: spans[-1][0]]
        prompt_tokens = generator.count_tokens(prompt_text, [])[0] - len(num_image_tokens) + sum(num_image_tokens)
        if max_tokens and prompt_tokens + max_new_tokens > max_tokens:
            raise UserError(
                f"the prompt of its last question has {prompt_tokens} tokens ({parts} with the answer), and the answer "
                f"may have {max_new_tokens} (model.max_new_tokens), but the model reads at most {max_tokens}: lower "
                f"model.max_new_tokens, {advice}"
            )

    return validate


def require_chat_template(processor: Any) -> None:
    """Raise UserError for a processor or a tokenizer without a chat template."""
    if not processor.chat_template:
        raise UserError(
            "model.checkpoint: the model has no chat template, so the format of its prompts is unknown. Choose a "
            "checkpoint that was fine-tuned on conversations, or put a chat_template.jinja into its folder."
        )


def count_answers(messages: list[Message]) -> int:
    """Return the number of answers; raises UserError if one is empty, or if the last question has none."""
    num_answers = len(assistant_texts(messages))
    if not ends_with_assistant(messages):
        raise UserError(f"message {len(messages)}, its last, is a question without an answer")
    return num_answers
