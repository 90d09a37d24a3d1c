"""Locate the answers of a conversation in its rendered text and among its tokens, and mask everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from jinja2 import TemplateError

from hfmm.data.common.messages import Message, assistant_texts
from hfmm.errors import UserError
from hfmm.tasks.base import IGNORE_INDEX

Span = tuple[int, int]  # start and end of a piece of text in characters, the end excluded
ExpandedImage = Mapping[str, Span]  # ``span`` of the single image token, ``new_span`` of all image tokens in its place


def answer_spans(processor: Any, messages: Sequence[Message]) -> tuple[str, list[Span]]:
    """Return a conversation rendered with the processor's chat template, and the span of each answer.

    An answer starts after the generation prompt. It ends with what the template adds after it, without trailing white
    space. Raises UserError if the template renders a message differently once others follow.
    """
    text, spans = _render_chat_template(processor, messages), []
    texts = iter(assistant_texts(messages))
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _render_chat_template(processor, messages[:index], add_generation_prompt=True)
        after = _render_chat_template(processor, messages[: index + 1]).rstrip()
        if not (text.startswith(after) and after.startswith(before)):
            raise UserError(
                f"the chat template renders message {index + 1}, an answer, differently once others follow, so the "
                "model would learn from prompts that it never gets later. Use conversations with a single question"
            )
        answer = after[len(before) :]
        if not answer.lstrip().startswith(next(texts).strip()):
            raise UserError(
                f"the chat template puts {answer[:40]!r} where the model has to generate message {index + 1}, so the "
                "model would learn to add this to every answer. Choose a model with another chat template"
            )
        spans.append((len(before), len(after)))
    return text, spans


def _render_chat_template(processor: Any, messages: Sequence[Message], **kwargs: Any) -> str:
    try:
        text: str = processor.apply_chat_template(list(messages), tokenize=False, **kwargs)
    except TemplateError as error:
        raise UserError(f"the chat template of the model does not accept this conversation: {error}") from error
    return text


def mask_non_answers(
    input_ids: Any,
    offsets: Any,
    spans: Sequence[Sequence[Span]],
    expanded_images: Sequence[Sequence[ExpandedImage]] | None = None,
) -> Any:
    """Return the labels `(batch_size, sequence_length)`: tokens of the answers, and `IGNORE_INDEX` elsewhere.

    Args:
        input_ids: The tokens of the batch, `(batch_size, sequence_length)`.
        offsets: The characters of each token, `(batch_size, sequence_length, 2)`, in the text with expanded images.
        spans: The spans of the answers of each row, in the text before its images are expanded.
        expanded_images: The images of each row, in text order.
    """
    import torch

    labels = torch.full_like(input_ids, IGNORE_INDEX)
    for row, (row_spans, images) in enumerate(zip(spans, expanded_images or [()] * len(spans), strict=True)):
        for span in row_spans:
            start, end = (char + _offset_before(char, images) for char in span)
            is_answer = (offsets[row, :, 0] < end) & (offsets[row, :, 1] > start)
            labels[row, is_answer] = input_ids[row, is_answer]
    return labels


def _offset_before(char: int, images: Sequence[ExpandedImage]) -> int:
    """Return by how many characters the images before a character have expanded."""
    before = [image for image in images if image["span"][1] <= char]
    return before[-1]["new_span"][1] - before[-1]["span"][1] if before else 0


def highlight_labels(tokenizer: Any, batch: Mapping[str, Any], image_token: str | None = None) -> str:
    """Return the first row of a batch as text, with its labels in «» and the image tokens of an image as a count."""
    text = ""
    pairs = zip(batch["input_ids"][0].tolist(), batch["labels"][0].tolist(), strict=True)
    for has_label, run in groupby(pairs, key=lambda pair: pair[1] != IGNORE_INDEX):
        decoded = tokenizer.decode([token for token, _ in run])
        text += f"«{decoded}»" if has_label else decoded
    if image_token is None:
        return text
    repeated = f"(?:{re.escape(image_token)}){{2,}}"
    return re.sub(repeated, lambda match: f"{image_token} x {len(match[0]) // len(image_token)}", text)
