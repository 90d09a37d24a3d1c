from typing import Any

import pytest

from hfmm.data.common.messages import assistant_texts, normalize_messages
from hfmm.errors import UserError

IMAGE = {"type": "image"}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def message(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "content": list(parts)}


def row(*messages: Any, images: Any = ("picture",)) -> dict[str, Any]:
    return {"messages": list(messages), "images": list(images) if isinstance(images, tuple) else images}


def test_parts_lose_the_empty_keys_that_a_table_gives_them() -> None:
    stored = row(message("user", IMAGE | {"text": None}, text("What?")), message("assistant", text("A verb.")))
    assert normalize_messages(stored) == [message("user", IMAGE, text("What?")), message("assistant", text("A verb."))]


def test_plain_text_becomes_a_part_and_unplaced_pictures_come_first_in_the_first_question() -> None:
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


def test_pictures_may_stand_anywhere_and_a_chat_may_have_none() -> None:
    several = [message("user", text("This"), IMAGE, text("or"), IMAGE), message("assistant", text("That."))]
    assert normalize_messages(row(*several, images=("one", "two"))) == several
    bare = [message("user", text("Hello.")), message("assistant", text("Hello."))]
    assert normalize_messages(row(*bare, images=())) == bare


def test_the_row_itself_is_left_as_it_was() -> None:
    given = row(message("user", text("What?")), message("assistant", text("A verb.")))
    normalize_messages(given)
    assert given == row(message("user", text("What?")), message("assistant", text("A verb.")))


QUESTION, ANSWER = message("user", IMAGE, text("What?")), message("assistant", text("A verb."))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row(QUESTION, ANSWER, images=("one", "two")), "more images than places for them, 2 for 1.*add"),
        (row(QUESTION, ANSWER, images=()), "fewer images than places for them, 0 for 1.*take away"),
        (row(QUESTION, ANSWER, images=None), "images are NoneType, not a list"),
        (row(QUESTION, ANSWER, images={"bytes": b""}), "images are dict, not a list; one picture is a list of one"),
        (
            row(QUESTION, message("bot", text("A verb."))),
            "message 2 is by 'bot'; the roles are system, user, assistant",
        ),
        (row({"from": "human", "value": "What?"}), "message 1 has no role or no content"),
        (row({"role": "user", "content": None}), "message 1 has no content"),
        (row(message("user", {"type": "video"})), "message 1 holds {'type': 'video'}; a part is"),
        (row(message("user", {"type": "text", "text": None})), "message 1 holds"),
        (row(ANSWER, QUESTION), "message 1 is by the assistant, where the user has the turn"),
        (row(QUESTION, QUESTION), "message 2 is by the user, where the assistant has the turn"),
        (row(QUESTION, ANSWER, message("system", text("Stop."))), "message 3 is by the system, where the user"),
        (row(message("system", text("Be brief."))), "nothing but a system message"),
        (row(), "no list of messages, or an empty one"),
        (row() | {"messages": "What?"}, "no list of messages"),
    ],
)
def test_what_is_wrong_is_said_with_the_message(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        normalize_messages(bad)


def test_answers_are_what_the_assistant_says() -> None:
    chat = [QUESTION, ANSWER, message("user", text("And?")), message("assistant", text("In the "), text("past."))]
    assert assistant_texts(normalize_messages(row(*chat))) == ["A verb.", "In the past."]


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        ([QUESTION, message("assistant", text(" \n"))], "message 2, an answer, is empty"),
        ([QUESTION, message("assistant")], "message 2, an answer, is empty"),
        ([QUESTION], "no message is by the assistant"),
    ],
)
def test_an_answer_that_teaches_nothing_is_named(chat: list[Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        assistant_texts(normalize_messages(row(*chat)))


def test_a_row_without_a_column_of_images_has_none() -> None:
    plain = [{"role": "user", "content": "She go.\nRight?"}, {"role": "assistant", "content": "no"}]
    assert normalize_messages({"messages": plain}) == [
        message("user", text("She go.\nRight?")),
        message("assistant", text("no")),
    ]
    assert assistant_texts(plain) == ["no"]
