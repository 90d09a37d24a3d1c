from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import DatasetDict

from hfmm.data import fingerprint, reading, synthesis, undecoded, words
from hfmm.data.images import decode
from hfmm.data.messages import answers, conversation
from hfmm.grammar import CELLS, surface_form

SMALL = {"train": 120, "validation": 20, "test": 60}


def build(folder: Path, num_proc: int = 1, **options: object) -> DatasetDict:
    return reading.build(reading.Options.model_validate(SMALL | options), folder, num_proc)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return undecoded(build(tmp_path_factory.mktemp("reading")))


@pytest.fixture(scope="module")
def rows(data: DatasetDict) -> list[dict[str, Any]]:
    return [row for split in data.values() for row in split]


def test_the_same_seed_gives_the_same_rows_in_any_number_of_processes(
    tmp_path: Path, data: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesis, "WORTH_PROCESSES", 50)
    assert fingerprint(undecoded(build(tmp_path, num_proc=2))) == fingerprint(data)
    other = undecoded(build(tmp_path / "other", seed=1, train=5))["train"]
    assert other["text"][:] != data["train"]["text"][:5]


def test_each_picture_is_asked_about_once_and_the_answer_is_what_it_says(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        question, answer = conversation(row)
        assert question["content"][0]["type"] == "image"
        assert question["content"][1]["text"] in reading.QUESTIONS[row["kinds"][0]]
        assert answers([question, answer]) == [row["text"]]
        assert decode(row["images"][0]).size == (64, 64)


def test_pages_hold_few_words_and_shapes_hold_one(rows: list[dict[str, Any]]) -> None:
    pages = [row["text"].split() for row in rows if row["kinds"] == ["transcribe"]]
    shapes = [row["text"] for row in rows if row["kinds"] == ["caption"]]
    assert {1, reading.LONGEST} <= {len(page) for page in pages}
    assert max(map(len, pages)) == reading.LONGEST
    assert all(text.startswith("the word ") for text in shapes)
    assert 0.15 < len(shapes) / len(rows) < 0.35


def test_no_text_holds_a_form_of_the_verbs(rows: list[dict[str, Any]]) -> None:
    forms = {surface_form(*cell).removeprefix("will ") for cell in CELLS}
    for row in rows:
        assert not forms & set(row["text"].lower().rstrip(".").split()), row["text"]


def test_a_made_up_word_is_never_a_form_of_the_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["goes", "bluk"])
    monkeypatch.setattr(words, "_letters", lambda rng: next(drawn))
    assert words.made_up(np.random.default_rng(0)) == "bluk"
