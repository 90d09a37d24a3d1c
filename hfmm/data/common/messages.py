"""Chat messages with images in the format of TRL: building, normalization and validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasets import List, Value

from hfmm.errors import UserError

ROLES = ("system", "user", "assistant")

Message = dict[str, Any]

# The Arrow type of `messages`. An image is a part without text.
MESSAGES_FEATURE = List({"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})})


def build_image_messages(exchanges: Iterable[tuple[str, str]]) -> list[Message]:
    """Return the messages of pairs of question and answer, with an image before the first question."""
    messages: list[Message] = []
    for question, answer in exchanges:
        messages.append({"role": "user", "content": [{"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    messages[0]["content"].insert(0, {"type": "image", "text": None})
    return messages


def normalize_messages(row: Mapping[str, Any]) -> list[Message]:
    """Return the ``messages`` of a row, each content a list of ``{"type": "image"}`` and ``{"type": "text", "text"}``.

    The content may also be plain text. If no part is an image, all images are placed at the start of the first user
    message, as in TRL. ``images`` is optional. Raises UserError for an unknown role, for roles that do not alternate,
    and if the number of ``images`` differs from the number of image parts.
    """
    messages, images = row["messages"], row.get("images", ())
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise UserError("its messages are not a list, or the list is empty")
    if not isinstance(images, Sequence):
        raise UserError(
            f"its images are {type(images).__name__}, not a list. Write a single image as a list with one element"
        )
    normalized = [_message(number, message) for number, message in enumerate(messages, 1)]
    _check_turns(normalized)
    num_image_parts = sum(part["type"] == "image" for message in normalized for part in message["content"])
    if not num_image_parts and images:
        question = next(message for message in normalized if message["role"] == "user")
        question["content"][:0] = [{"type": "image"} for _ in images]
    elif num_image_parts != len(images):
        comparison, action = ("more", "add") if len(images) > num_image_parts else ("fewer", "remove")
        raise UserError(
            f"it has {comparison} images than image parts, {len(images)} and {num_image_parts}: "
            f'{action} {{"type": "image"}} parts in its messages, or correct its images'
        )
    return normalized


def assistant_texts(messages: Sequence[Message]) -> list[str]:
    """Return the text of each assistant message; raises UserError if one is empty or there are none.

    ``messages`` come from `normalize_messages`. Their contents may also be plain texts.
    """
    texts = []
    for number, message in enumerate(messages, 1):
        if message["role"] == "assistant":
            text = message_text(message)
            if not text.strip():
                raise UserError(f"message {number}, an answer, is empty. There is nothing to learn from it")
            texts.append(text)
    if not texts:
        raise UserError("no message has the role assistant, so there is no answer to learn")
    return texts


def message_text(message: Message) -> str:
    """Return the text of a message without its images."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _message(number: int, message: Any) -> Message:
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        raise UserError(f"message {number} has no role or no content. Write it as {{role: user, content: ...}}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise UserError(f"message {number} has the unknown role {role!r}. The roles are {', '.join(ROLES)}")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, Sequence):
        raise UserError(f"message {number} has no content")
    return {"role": role, "content": [_content_part(number, part) for part in content]}


def _content_part(number: int, part: Any) -> Message:
    """Return a part without the empty keys that other parts of its column add."""
    match part:
        case {"type": "image"}:
            return {"type": "image"}
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
    raise UserError(
        f'message {number} contains {part!r}. A part is {{"type": "image"}} or {{"type": "text", "text": ...}}'
    )


def _check_turns(messages: Sequence[Message]) -> None:
    first = 1 if messages[0]["role"] == "system" else 0
    for index, message in enumerate(messages[first:]):
        expected = "assistant" if index % 2 else "user"
        if message["role"] != expected:
            raise UserError(f"message {first + index + 1} has the role {message['role']}, but {expected} is expected")
    if first == len(messages):
        raise UserError("it contains only a system message")
