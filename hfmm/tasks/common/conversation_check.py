"""What is asked of a conversation before any training starts: whole, with something to learn, and not too long."""

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
    """Return what raises UserError for a conversation that cannot be read whole or has nothing to learn.

    Raises UserError itself for a model without a chat template.
    """
    require_chat_template(processor)
    speaker = ChatGenerator(processor)
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    answer = getattr(config, "max_new_tokens", 0)

    def check(row: Mapping[str, Any]) -> None:
        messages, images = normalize_messages(row), row["images"]
        count = count_answers(messages)
        kinds = row.get("kinds")
        if kinds is not None and len(kinds) != count:
            raise UserError(f"it names {len(kinds)} kinds of questions and has {count} answers")
        if not images:
            raise UserError("it has no image, and this task is about images")
        text, places = answer_spans(processor, messages)
        if text.count(processor.image_token) != len(images):
            raise UserError(f"one of its texts holds {processor.image_token}, which stands for an image")
        words, pictures = speaker.count_tokens(text, [decode(image) for image in images])
        made = f"{' + '.join(map(str, pictures))} of images and {words} of text"
        shorten = "shorten it, or choose a model that reads more or makes less of an image"
        if longest and (tokens := words + sum(pictures)) > longest:
            raise UserError(f"it has {tokens} tokens, {made}, and the model reads {longest}: {shorten}")
        asked = speaker.count_tokens(text[: places[-1][0]], [])[0] - len(pictures) + sum(pictures)
        if longest and asked + answer > longest:
            raise UserError(
                f"its last question is asked with {asked} tokens, {made} with the answer, and that may take "
                f"{answer} (model.max_new_tokens) where the model reads {longest}: lower that, {shorten}"
            )

    return check


def require_chat_template(processor: Any) -> None:
    """Raise UserError for a processor, or a tokenizer, without a chat template."""
    if not processor.chat_template:
        raise UserError(
            "model.checkpoint: the model has no chat template, so nothing says how a question is put to it. Choose "
            "a checkpoint that was tuned to conversations, or put a chat_template.jinja into its folder."
        )


def count_answers(messages: list[Message]) -> int:
    """Return how many answers there are; raises UserError for an empty one, and for a last question without one."""
    count = len(assistant_texts(messages))
    if not ends_with_assistant(messages):
        raise UserError(f"message {len(messages)}, its last, is a question without an answer")
    return count
