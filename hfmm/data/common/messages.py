"""Chat messages with pictures, as TRL has them, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasets import List, Value

from hfmm.errors import UserError

ROLES = ("system", "user", "assistant")

Message = dict[str, Any]

# How `messages` lie in Arrow, where a picture is a part without text.
MESSAGES_FEATURE = List({"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})})


def build_image_messages(exchanges: Iterable[tuple[str, str]]) -> list[Message]:
    """Return the messages of questions, each with its answer, the first with a picture before it."""
    messages: list[Message] = []
    for question, answer in exchanges:
        messages.append({"role": "user", "content": [{"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    messages[0]["content"].insert(0, {"type": "image", "text": None})
    return messages


def normalize_messages(row: Mapping[str, Any]) -> list[Message]:
    """Return the ``messages`` of a row, each content a list of ``{"type": "image"}`` and ``{"type": "text", "text"}``.

    A content may come as plain text; where none marks the place of a picture, all of them come first in the first
    question, as in TRL. A row without ``images`` has none. Raises UserError for an unknown role, for messages that do
    not take turns, and for more or fewer ``images`` than places.
    """
    messages, images = row["messages"], row.get("images", ())
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise UserError("its messages are no list of messages, or an empty one")
    if not isinstance(images, Sequence):
        raise UserError(f"its images are {type(images).__name__}, not a list; one picture is a list of one")
    found = [_message(number, message) for number, message in enumerate(messages, 1)]
    _check_turns(found)
    places = sum(part["type"] == "image" for message in found for part in message["content"])
    if not places and images:
        question = next(message for message in found if message["role"] == "user")
        question["content"][:0] = [{"type": "image"} for _ in images]
    elif places != len(images):
        more, less = ("more", "add") if len(images) > places else ("fewer", "take away")
        raise UserError(
            f"it has {more} images than places for them, {len(images)} for {places}: "
            f'{less} {{"type": "image"}} parts in its messages, or mend its images'
        )
    return found


def assistant_texts(messages: Sequence[Message]) -> list[str]:
    """Return what the assistant says, message by message; raises UserError where it says nothing.

    ``messages`` are those that `conversation` returns, or the same with plain texts for contents.
    """
    found = []
    for number, message in enumerate(messages, 1):
        if message["role"] == "assistant":
            text = message_text(message)
            if not text.strip():
                raise UserError(f"message {number}, an answer, is empty: there is nothing to learn from it")
            found.append(text)
    if not found:
        raise UserError("no message is by the assistant: there is no answer to learn")
    return found


def message_text(message: Message) -> str:
    """Return the text of a message, its pictures left out."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _message(number: int, message: Any) -> Message:
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        raise UserError(f"message {number} has no role or no content; one is {{role: user, content: ...}}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise UserError(f"message {number} is by {role!r}; the roles are {', '.join(ROLES)}")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, Sequence):
        raise UserError(f"message {number} has no content")
    return {"role": role, "content": [_content_part(number, part) for part in content]}


def _content_part(number: int, part: Any) -> Message:
    """Return a part without the keys that only other parts of its column have."""
    match part:
        case {"type": "image"}:
            return {"type": "image"}
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
    raise UserError(
        f'message {number} holds {part!r}; a part is {{"type": "image"}} or {{"type": "text", "text": ...}}'
    )


def _check_turns(messages: Sequence[Message]) -> None:
    first = 1 if messages[0]["role"] == "system" else 0
    for place, message in enumerate(messages[first:]):
        due = "assistant" if place % 2 else "user"
        if message["role"] != due:
            raise UserError(f"message {first + place + 1} is by the {message['role']}, where the {due} has the turn")
    if first == len(messages):
        raise UserError("it holds nothing but a system message")
