from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from PIL import Image

from hfmm.card.contact_sheet import caption, contact_sheet
from hfmm.data.common.images import encode
from hfmm.data.common.messages import MESSAGES_FEATURE
from hfmm.errors import UserError

STAR = encode(Image.new("RGB", (16, 16), "red"))
FIRST_TILE, BELOW_IT, SECOND_LINE = (8, 28, 136, 156), (8, 158, 136, 258), (8, 264, 136, 392)


def of(features: Features | None = None, **columns: list[Any]) -> DatasetDict:
    return DatasetDict({"train": Dataset.from_dict(columns, features=features)})


def chat(*turns: str) -> list[dict[str, str]]:
    return [{"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(turns)]


def has_ink(sheet: Image.Image, box: tuple[int, int, int, int]) -> bool:
    return int(np.asarray(sheet.crop(box).convert("L")).min()) < 128


def test_a_picture_that_has_nothing_but_captions_stands_above_the_first() -> None:
    data = of(id=["0"], image=[STAR], captions=[["a red star", "red"]], group=["a"])
    assert caption(data["train"], 0) == "a red star"
    assert contact_sheet(data).crop(FIRST_TILE).getcolors() == [(128 * 128, (255, 0, 0))]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "he works", "label": 1, "captions": ["he"], "id": "7"}, "he works"),
        ({"text": "", "label": 1, "captions": ["he"], "id": "7"}, "dog"),
        ({"text": None, "label": -1, "captions": ["he"], "id": "7"}, "he"),
        ({"text": None, "label": None, "captions": [], "id": "7"}, "7"),
    ],
)
def test_a_caption_is_the_first_thing_that_a_row_has_to_say(row: dict[str, Any], words: str) -> None:
    text = Value("string")
    features = Features({"text": text, "label": ClassLabel(names=["cat", "dog"]), "captions": List(text), "id": text})
    assert caption(of(features, **{name: [value] for name, value in row.items()})["train"], 0) == words


def test_a_conversation_without_a_text_of_its_own_shows_its_words() -> None:
    sheet = contact_sheet(of(id=["0"], messages=[chat("Who?", "She.")], group=["a"]))
    assert has_ink(sheet, FIRST_TILE) and has_ink(sheet, BELOW_IT)


def test_the_last_question_may_be_a_picture_alone() -> None:
    image, text = {"type": "image", "text": None}, {"type": "text", "text": "What is this?"}
    turns = [("user", [image, text]), ("assistant", [text]), ("user", [image]), ("assistant", [text])]
    messages = [{"role": role, "content": content} for role, content in turns]
    media = {"bytes": Value("binary"), "path": Value("string")}
    features = Features({"id": Value("string"), "messages": MESSAGES_FEATURE, "images": List(media)})
    sheet = contact_sheet(of(features, id=["0"], messages=[messages], images=[[STAR, STAR]]))
    assert has_ink(sheet, BELOW_IT)


def test_a_question_may_have_no_answer() -> None:
    assert has_ink(contact_sheet(of(id=["0"], messages=[chat("Who?")], group=["a"])), BELOW_IT)


def test_a_long_answer_stays_below_its_tile() -> None:
    sheet = contact_sheet(of(id=["0"], messages=[chat("Who? " * 99, "She. " * 99)], group=["a"]))
    assert not has_ink(sheet, SECOND_LINE)


def test_a_row_that_cannot_be_shown_is_named() -> None:
    broken = {"bytes": b"no picture", "path": None}
    data = of(id=["0", "1"], image=[STAR, broken], captions=[["a"], ["b"]], group=["a", "b"])
    with pytest.raises(UserError, match="train, row 1: the image is not an image"):
        contact_sheet(data)
