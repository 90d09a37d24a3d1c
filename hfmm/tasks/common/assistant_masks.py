"""Where answers stand in a conversation: in its text, and among the tokens that a model reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from jinja2 import TemplateError

from hfmm.data.common.messages import Message, assistant_texts
from hfmm.errors import UserError
from hfmm.tasks.base import IGNORE_INDEX

Span = tuple[int, int]  # characters, from the first to after the last
ExpandedImage = Mapping[
    str, Span
]  # the characters of a picture, `span` as one image token and `new_span` as all it takes


def answer_spans(processor: Any, messages: Sequence[Message]) -> tuple[str, list[Span]]:
    """Return a conversation as the processor's chat template writes it, and the span of each answer.

    An answer begins where the template lets the model speak, and ends with what the template puts after it, white
    space aside. Raises UserError where what was written changes as the conversation goes on.
    """
    whole, found = _render_chat_template(processor, messages), []
    texts = iter(assistant_texts(messages))
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _render_chat_template(processor, messages[:place], add_generation_prompt=True)
        after = _render_chat_template(processor, messages[: place + 1]).rstrip()
        if not (whole.startswith(after) and after.startswith(before)):
            raise UserError(
                f"the chat template writes message {place + 1}, an answer, in another way once others follow, so the "
                "model would learn what it is never asked. Make conversations of one question each"
            )
        text = after[len(before) :]
        if not text.lstrip().startswith(next(texts).strip()):
            raise UserError(
                f"the chat template puts {text[:40]!r} where the model is to say what message {place + 1} does, so "
                "that would be in every answer. Choose a model with another chat template"
            )
        found.append((len(before), len(after)))
    return whole, found


def _render_chat_template(processor: Any, messages: Sequence[Message], **more: Any) -> str:
    try:
        text: str = processor.apply_chat_template(list(messages), tokenize=False, **more)
    except TemplateError as error:
        raise UserError(f"the model's chat template does not take this conversation: {error}") from error
    return text


def mask_non_answers(
    ids: Any, offsets: Any, places: Sequence[Sequence[Span]], grown: Sequence[Sequence[ExpandedImage]] | None = None
) -> Any:
    """Return the tokens of the answers, and `IGNORE_INDEX` at all others, (rows, length).

    ``offsets`` (rows, length, 2) are the characters of each token, in a text whose pictures have grown as ``grown``
    tells; ``places`` are the spans of the answers before that.
    """
    import torch

    found = torch.full_like(ids, IGNORE_INDEX)
    for row, (own, pictures) in enumerate(zip(places, grown or [()] * len(places), strict=True)):
        for span in own:
            start, end = (char + _offset_before(char, pictures) for char in span)
            inside = (offsets[row, :, 0] < end) & (offsets[row, :, 1] > start)
            found[row, inside] = ids[row, inside]
    return found


def _offset_before(char: int, pictures: Sequence[ExpandedImage]) -> int:
    """Return by how much the pictures before a character have grown."""
    before = [one for one in pictures if one["span"][1] <= char]
    return before[-1]["new_span"][1] - before[-1]["span"][1] if before else 0


def highlight_labels(tokenizer: Any, batch: Mapping[str, Any], image_token: str | None = None) -> str:
    """Return the first row of a batch as text, what is learnt of it in «», a picture's image tokens counted."""
    text = ""
    pairs = zip(batch["input_ids"][0].tolist(), batch["labels"][0].tolist(), strict=True)
    for learnt, run in groupby(pairs, key=lambda pair: pair[1] != IGNORE_INDEX):
        said = tokenizer.decode([one for one, _ in run])
        text += f"«{said}»" if learnt else said
    if image_token is None:
        return text
    several = f"(?:{re.escape(image_token)}){{2,}}"
    return re.sub(several, lambda run: f"{image_token} x {len(run[0]) // len(image_token)}", text)
