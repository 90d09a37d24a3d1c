"""How answers are learnt, asked for and judged, whatever the model reads beside the words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from hfmm.data.common.messages import Message, assistant_texts, normalize_messages
from hfmm.data.common.rows import Row
from hfmm.metrics._answers import normalize_answer
from hfmm.models.common.batch import to_model_device
from hfmm.tasks import IGNORE_INDEX


def num_items(batch: Mapping[str, Any]) -> int:
    """Return the number of tokens that have a label."""
    return int((batch["labels"][:, 1:] != IGNORE_INDEX).sum())


def loss(model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
    """Return the cross-entropy of a batch in nats, summed over its answers' tokens and divided by ``num_items``.

    Logits are computed nowhere else: with a large vocabulary all of them cost more than the model's layers.
    """
    from torch.nn import functional

    inputs = {name: value for name, value in batch.items() if name != "labels"}
    following = batch["labels"][:, 1:]
    learnt = following != IGNORE_INDEX
    logits = model(**inputs, logits_to_keep=functional.pad(learnt, (0, 1)), use_cache=False).logits
    return functional.cross_entropy(logits.float(), following[learnt], reduction="sum") / num_items


def answer_nll(model: Any, batch: Mapping[str, Any]) -> list[dict[str, list[float]]]:
    """Return, for each row, the ``nats`` by which each true answer surprises the model, and their ``tokens``."""
    import torch
    from torch.nn import functional

    following = batch["labels"][:, 1:]
    learnt = following != IGNORE_INDEX
    begins = learnt & ~functional.pad(learnt, (1, 0))[:, :-1]
    places = torch.stack([learnt.nonzero()[:, 0], begins.cumsum(1)[learnt] - 1], 1).tolist()
    inputs = to_model_device({name: value for name, value in batch.items() if name != "labels"}, model)
    with torch.inference_mode():
        keep = functional.pad(learnt, (0, 1)).to(model.device)
        logits = model(**inputs, logits_to_keep=keep, use_cache=False).logits.float().cpu()
    nats = functional.cross_entropy(logits, following[learnt], reduction="none").tolist()
    counts = begins.sum(1).tolist()
    found = [{"nats": [0.0] * count, "tokens": [0.0] * count} for count in counts]
    for (row, answer), one in zip(places, nats, strict=True):
        found[row]["nats"][answer] += one
        found[row]["tokens"][answer] += 1
    return found


def ends_with_assistant(messages: list[Message]) -> bool:
    """Tell whether the last question of a chat has its answer."""
    return bool(messages[-1]["role"] == "assistant")


def prompts(messages: list[Message]) -> list[list[Message]]:
    """Return the chat up to each of its questions that is to be answered: the last, where that has no answer yet."""
    if not ends_with_assistant(messages):
        return [messages]
    return [messages[:place] for place, message in enumerate(messages) if message["role"] == "assistant"]


def generate_answers(
    chats: Sequence[list[Message]], answer: Callable[[list[list[Message]]], list[str]]
) -> list[dict[str, list[str]]]:
    """Return what ``answer`` says to each question of each chat, asked after the turns that the data has before it."""
    asked = [prompts(chat) for chat in chats]
    said: list[list[str]] = [[] for _ in chats]
    # The last questions of all rows make one batch: it is the one that the pipeline is asked to repeat.
    for back in range(1, max(map(len, asked)) + 1):
        places = [place for place, own in enumerate(asked) if len(own) >= back]
        for place, text in zip(places, answer([asked[place][-back] for place in places]), strict=True):
            said[place].insert(0, text)
    return [{"prediction": texts} for texts in said]


def predict_conversations(
    rows: Iterable[Row],
    batch_size: int,
    chat: Callable[[Row], list[Message]],
    answer: Callable[[list[list[Message]]], list[str]],
    surprised: Callable[[list[Row]], list[dict[str, list[float]]]],
) -> Iterator[dict[str, Any]]:
    """Yield the answers to the questions of each row's ``chat``, or to its last, where that has no answer yet.

    Where the data has the answers, with the ``nats`` by which they surprise the model and their ``tokens``, which
    ``surprised`` tells of a batch of rows.
    """
    iterator = iter(rows)
    while chunk := list(islice(iterator, batch_size)):
        chats = [chat(row) for row in chunk]
        said = generate_answers(chats, answer)
        known = surprised(chunk) if all(map(ends_with_assistant, chats)) else [{}] * len(chunk)
        yield from ({**one, **more} for one, more in zip(said, known, strict=True))


def from_pipeline(output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the text in the pipeline's answer."""
    return {"prediction": output[0]["generated_text"].strip()}


def expected(model: Any, recorded: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the recorded answer to each row's last question."""
    return [{"prediction": row["prediction"][-1]} for row in recorded]


def format_answers(model: Any, predictions: Sequence[Row], texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return each question with its answer."""
    pairs = zip(cycle(texts), predictions, strict=False)
    return [{"question": text, "answer": one["prediction"][-1]} for text, one in pairs]


def reference(row: Row) -> dict[str, Any]:
    """Return a row's answers, and what the data tells of the questions: their kinds, and the sentence at issue."""
    told = ("kinds", "text", "verb", "error")
    return {"answers": assistant_texts(normalize_messages(row)), **{name: row[name] for name in told if name in row}}


def wrong(predictions: Sequence[Row], references: Sequence[Row]) -> list[bool]:
    """Tell of each row whether an answer is wrong, case and final punctuation aside."""
    pairs = zip(predictions, references, strict=True)
    return [
        list(map(normalize_answer, one["prediction"])) != list(map(normalize_answer, true["answers"]))
        for one, true in pairs
    ]
