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
FIRST_TILE, TEXT_BELOW, SECOND_LINE = (8, 28, 136, 156), (8, 158, 136, 258), (8, 264, 136, 392)


def make_dataset(features: Features | None = None, **columns: list[Any]) -> DatasetDict:
    return DatasetDict({"train": Dataset.from_dict(columns, features=features)})


def make_chat(*turns: str) -> list[dict[str, str]]:
    return [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(turns)]


def has_ink(sheet: Image.Image, box: tuple[int, int, int, int]) -> bool:
    return int(np.asarray(sheet.crop(box).convert("L")).min()) < 128


def test_image_row_is_shown_with_its_first_caption() -> None:
    data = make_dataset(id=["0"], image=[STAR], captions=[["a red star", "red"]], group=["a"])
    assert caption(data["train"], 0) == "a red star"
    assert contact_sheet(data).crop(FIRST_TILE).getcolors() == [(128 * 128, (255, 0, 0))]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "he works", "label": 1, "captions": ["he"], "id": "7"}, "he works"),
        ({"text": "", "label": 1, "captions": ["he"], "id": "7"}, "dog"),
        ({"text": None, "label": -1, "captions": ["he"], "id": "7"}, "he"),
        ({"text": None, "label": None, "captions": [], "id": "7"}, "7"),
    ],
)
def test_caption_falls_back_to_label_captions_and_id(row: dict[str, Any], expected: str) -> None:
    text = Value("string")
    features = Features({"text": text, "label": ClassLabel(names=["cat", "dog"]), "captions": List(text), "id": text})
    assert caption(make_dataset(features, **{name: [value] for name, value in row.items()})["train"], 0) == expected


def test_conversation_without_text_column_shows_its_messages() -> None:
    sheet = contact_sheet(make_dataset(id=["0"], messages=[make_chat("Who?", "She.")], group=["a"]))
    assert has_ink(sheet, FIRST_TILE) and has_ink(sheet, TEXT_BELOW)


def test_last_question_may_be_an_image_only() -> None:
    image, text = {"type": "image", "text": None}, {"type": "text", "text": "What is this?"}
    turns = [("user", [image, text]), ("assistant", [text]), ("user", [image]), ("assistant", [text])]
    messages = [{"role": role, "content": content} for role, content in turns]
    media = {"bytes": Value("binary"), "path": Value("string")}
    features = Features({"id": Value("string"), "messages": MESSAGES_FEATURE, "images": List(media)})
    sheet = contact_sheet(make_dataset(features, id=["0"], messages=[messages], images=[[STAR, STAR]]))
    assert has_ink(sheet, TEXT_BELOW)


def test_last_question_may_have_no_answer() -> None:
    assert has_ink(contact_sheet(make_dataset(id=["0"], messages=[make_chat("Who?")], group=["a"])), TEXT_BELOW)


def test_long_answer_does_not_reach_the_next_tile() -> None:
    sheet = contact_sheet(make_dataset(id=["0"], messages=[make_chat("Who? " * 99, "She. " * 99)], group=["a"]))
    assert not has_ink(sheet, SECOND_LINE)


def test_row_that_cannot_be_decoded_raises_with_its_index() -> None:
    broken = {"bytes": b"not an image", "path": None}
    data = make_dataset(id=["0", "1"], image=[STAR, broken], captions=[["a"], ["b"]], group=["a", "b"])
    with pytest.raises(UserError, match="train, row 1: the image is not an image"):
        contact_sheet(data)
