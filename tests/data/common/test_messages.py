from typing import Any

import pytest

from hfmm.data.common.messages import assistant_texts, normalize_messages
from hfmm.errors import UserError

IMAGE = {"type": "image"}


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def message(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "content": list(parts)}


def row(*messages: Any, images: Any = ("picture",)) -> dict[str, Any]:
    return {"messages": list(messages), "images": list(images) if isinstance(images, tuple) else images}


def test_normalize_messages_drops_empty_keys() -> None:
    stored = row(message("user", IMAGE | {"text": None}, text("What?")), message("assistant", text("A verb.")))
    assert normalize_messages(stored) == [message("user", IMAGE, text("What?")), message("assistant", text("A verb."))]


def test_plain_text_becomes_a_part_and_images_go_to_the_first_question() -> None:
    plain = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which differs?"},
        {"role": "assistant", "content": "The second."},
    ]
    assert normalize_messages(row(*plain, images=("one", "two"))) == [
        message("system", text("Be brief.")),
        message("user", IMAGE, IMAGE, text("Which differs?")),
        message("assistant", text("The second.")),
    ]


def test_images_may_be_anywhere_or_absent() -> None:
    interleaved = [message("user", text("This"), IMAGE, text("or"), IMAGE), message("assistant", text("That."))]
    assert normalize_messages(row(*interleaved, images=("one", "two"))) == interleaved
    text_only = [message("user", text("Hello.")), message("assistant", text("Hello."))]
    assert normalize_messages(row(*text_only, images=())) == text_only


def test_normalize_messages_does_not_modify_the_row() -> None:
    original = row(message("user", text("What?")), message("assistant", text("A verb.")))
    normalize_messages(original)
    assert original == row(message("user", text("What?")), message("assistant", text("A verb.")))


QUESTION, ANSWER = message("user", IMAGE, text("What?")), message("assistant", text("A verb."))


@pytest.mark.parametrize(
    ("invalid_row", "error_message"),
    [
        (row(QUESTION, ANSWER, images=("one", "two")), "more images than image parts, 2 and 1.*add"),
        (row(QUESTION, ANSWER, images=()), "fewer images than image parts, 0 and 1.*remove"),
        (row(QUESTION, ANSWER, images=None), "images are NoneType, not a list"),
        (
            row(QUESTION, ANSWER, images={"bytes": b""}),
            "images are dict, not a list. Write a single image as a list with one element",
        ),
        (
            row(QUESTION, message("bot", text("A verb."))),
            "message 2 has the unknown role 'bot'. The roles are system, user, assistant",
        ),
        (row({"from": "human", "value": "What?"}), "message 1 has no role or no content"),
        (row({"role": "user", "content": None}), "message 1 has no content"),
        (row(message("user", {"type": "video"})), "message 1 contains {'type': 'video'}. A part is"),
        (row(message("user", {"type": "text", "text": None})), "message 1 contains"),
        (row(ANSWER, QUESTION), "message 1 has the role assistant, but user is expected"),
        (row(QUESTION, QUESTION), "message 2 has the role user, but assistant is expected"),
        (row(QUESTION, ANSWER, message("system", text("Stop."))), "message 3 has the role system, but user"),
        (row(message("system", text("Be brief."))), "it contains only a system message"),
        (row(), "its messages are not a list, or the list is empty"),
        (row() | {"messages": "What?"}, "its messages are not a list"),
    ],
)
def test_normalize_messages_reports_invalid_rows(invalid_row: dict[str, Any], error_message: str) -> None:
    with pytest.raises(UserError, match=error_message):
        normalize_messages(invalid_row)


def test_assistant_texts_returns_all_answers() -> None:
    chat = [QUESTION, ANSWER, message("user", text("And?")), message("assistant", text("In the "), text("past."))]
    assert assistant_texts(normalize_messages(row(*chat))) == ["A verb.", "In the past."]


@pytest.mark.parametrize(
    ("chat", "error_message"),
    [
        ([QUESTION, message("assistant", text(" \n"))], "message 2, an answer, is empty"),
        ([QUESTION, message("assistant")], "message 2, an answer, is empty"),
        ([QUESTION], "no message has the role assistant"),
    ],
)
def test_assistant_texts_rejects_missing_or_empty_answers(chat: list[Any], error_message: str) -> None:
    with pytest.raises(UserError, match=error_message):
        assistant_texts(normalize_messages(row(*chat)))


def test_images_column_is_optional() -> None:
    plain = [{"role": "user", "content": "She go.\nRight?"}, {"role": "assistant", "content": "no"}]
    assert normalize_messages({"messages": plain}) == [
        message("user", text("She go.\nRight?")),
        message("assistant", text("no")),
    ]
    assert assistant_texts(plain) == ["no"]
