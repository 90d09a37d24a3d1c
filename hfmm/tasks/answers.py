"""Where answers stand in a conversation, in its text and among the tokens that a model reads; how they are learnt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from jinja2 import TemplateError

from hfmm.data.messages import Message, answers, conversation
from hfmm.errors import UserError
from hfmm.metrics.answers import normal
from hfmm.tasks import UNLABELLED

Span = tuple[int, int]  # characters, from the first to after the last
Grown = Mapping[str, Span]  # the characters of a picture, `span` as one image token and `new_span` as all it takes


def spans(processor: Any, messages: Sequence[Message]) -> tuple[str, list[Span]]:
    """Return a conversation as the processor's chat template writes it, and the span of each answer.

    An answer begins where the template lets the model speak, and ends with what the template puts after it, white
    space aside. Raises UserError where what was written changes as the conversation goes on.
    """
    whole, found = _written(processor, messages), []
    texts = iter(answers(messages))
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _written(processor, messages[:place], add_generation_prompt=True)
        after = _written(processor, messages[: place + 1]).rstrip()
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


def _written(processor: Any, messages: Sequence[Message], **more: Any) -> str:
    try:
        text: str = processor.apply_chat_template(list(messages), tokenize=False, **more)
    except TemplateError as error:
        raise UserError(f"the model's chat template does not take this conversation: {error}") from error
    return text


def labels(
    ids: Any, offsets: Any, places: Sequence[Sequence[Span]], grown: Sequence[Sequence[Grown]] | None = None
) -> Any:
    """Return the tokens of the answers, and `UNLABELLED` at all others, (rows, length).

    ``offsets`` (rows, length, 2) are the characters of each token, in a text whose pictures have grown as ``grown``
    tells; ``places`` are the spans of the answers before that.
    """
    import torch

    found = torch.full_like(ids, UNLABELLED)
    for row, (own, pictures) in enumerate(zip(places, grown or [()] * len(places), strict=True)):
        for span in own:
            start, end = (char + _gained(char, pictures) for char in span)
            inside = (offsets[row, :, 0] < end) & (offsets[row, :, 1] > start)
            found[row, inside] = ids[row, inside]
    return found


def _gained(char: int, pictures: Sequence[Grown]) -> int:
    """Return by how much the pictures before a character have grown."""
    before = [one for one in pictures if one["span"][1] <= char]
    return before[-1]["new_span"][1] - before[-1]["span"][1] if before else 0


def shown(tokenizer: Any, batch: Mapping[str, Any], image_token: str | None = None) -> str:
    """Return the first row of a batch as text, what is learnt of it in «», a picture's image tokens counted."""
    text = ""
    pairs = zip(batch["input_ids"][0].tolist(), batch["labels"][0].tolist(), strict=True)
    for learnt, run in groupby(pairs, key=lambda pair: pair[1] != UNLABELLED):
        said = tokenizer.decode([one for one, _ in run])
        text += f"«{said}»" if learnt else said
    if image_token is None:
        return text
    several = f"(?:{re.escape(image_token)}){{2,}}"
    return re.sub(several, lambda run: f"{image_token} x {len(run[0]) // len(image_token)}", text)


def num_items(batch: Mapping[str, Any]) -> int:
    """Return the number of tokens that have a label."""
    return int((batch["labels"][:, 1:] != UNLABELLED).sum())


def loss(model: Any, batch: Mapping[str, Any], items: Any) -> Any:
    """Return the cross-entropy of a batch in nats, summed over its answers' tokens and divided by ``items``.

    Logits are computed nowhere else: with a large vocabulary all of them cost more than the model's layers.
    """
    from torch.nn import functional

    inputs = {name: value for name, value in batch.items() if name != "labels"}
    following = batch["labels"][:, 1:]
    learnt = following != UNLABELLED
    logits = model(**inputs, logits_to_keep=functional.pad(learnt, (0, 1)), use_cache=False).logits
    return functional.cross_entropy(logits.float(), following[learnt], reduction="sum") / items


def questions(messages: list[Message]) -> list[list[Message]]:
    """Return the chat up to each of its questions that is to be answered: the last, where that has no answer yet."""
    if messages[-1]["role"] == "user":
        return [messages]
    return [messages[:place] for place, message in enumerate(messages) if message["role"] == "assistant"]


def answered(
    chats: Sequence[list[Message]], answer: Callable[[list[list[Message]]], list[str]]
) -> list[dict[str, list[str]]]:
    """Return what ``answer`` says to each question of each chat, asked after the turns that the data has before it."""
    asked = [questions(chat) for chat in chats]
    said: list[list[str]] = [[] for _ in chats]
    # The last questions of all rows make one batch: it is the one that the pipeline is asked to repeat.
    for back in range(1, max(map(len, asked)) + 1):
        places = [place for place, own in enumerate(asked) if len(own) >= back]
        for place, text in zip(places, answer([asked[place][-back] for place in places]), strict=True):
            said[place].insert(0, text)
    return [{"prediction": texts} for texts in said]


def reference(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's answers, and what the data tells of the questions: their kinds, and the sentence at issue."""
    told = ("kinds", "text", "verb", "error")
    return {"answers": answers(conversation(row)), **{name: row[name] for name in told if name in row}}


def wrong(predictions: Sequence[Mapping[str, Any]], references: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Tell of each row whether an answer is wrong, case and final punctuation aside."""
    pairs = zip(predictions, references, strict=True)
    return [list(map(normal, one["prediction"])) != list(map(normal, true["answers"])) for one, true in pairs]
