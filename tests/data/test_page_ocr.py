from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import DatasetDict

from hfmm.data import disable_media_decoding, fingerprint, page_ocr, pseudowords
from hfmm.data.common import generate
from hfmm.data.common.images import decode
from hfmm.data.common.messages import assistant_texts, normalize_messages
from hfmm.grammar import CELLS, surface_form

SMALL = {"train": 120, "validation": 20, "test": 60}


def build(folder: Path, num_proc: int = 1, **options: object) -> DatasetDict:
    return page_ocr.build(page_ocr.PageOcrOptions.model_validate(SMALL | options), folder, num_proc)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return disable_media_decoding(build(tmp_path_factory.mktemp("page_ocr")))


@pytest.fixture(scope="module")
def rows(data: DatasetDict) -> list[dict[str, Any]]:
    return [row for split in data.values() for row in split]


def test_the_seed_changes_the_rows_and_the_number_of_processes_does_not(
    tmp_path: Path, data: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "MIN_ROWS_FOR_MULTIPROCESSING", 50)
    assert fingerprint(disable_media_decoding(build(tmp_path, num_proc=2))) == fingerprint(data)
    other_seed = disable_media_decoding(build(tmp_path / "other", seed=1, train=5))["train"]
    assert other_seed["text"][:] != data["train"]["text"][:5]


def test_each_image_has_one_question_and_its_text_as_the_answer(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        question, answer = normalize_messages(row)
        assert question["content"][0]["type"] == "image"
        assert question["content"][1]["text"] in page_ocr.QUESTIONS[row["kinds"][0]]
        assert assistant_texts([question, answer]) == [row["text"]]
        assert decode(row["images"][0]).size == (64, 64)


def test_pages_have_few_words_and_shapes_have_one(rows: list[dict[str, Any]]) -> None:
    pages = [row["text"].split() for row in rows if row["kinds"] == ["transcribe"]]
    shapes = [row["text"] for row in rows if row["kinds"] == ["caption"]]
    assert {1, page_ocr.LONGEST} <= {len(page) for page in pages}
    assert max(map(len, pages)) == page_ocr.LONGEST
    assert all(text.startswith("the word ") for text in shapes)
    assert 0.15 < len(shapes) / len(rows) < 0.35


def test_no_text_contains_a_form_of_the_verbs(rows: list[dict[str, Any]]) -> None:
    forms = {surface_form(*cell).removeprefix("will ") for cell in CELLS}
    for row in rows:
        assert not forms & set(row["text"].lower().rstrip(".").split()), row["text"]


def test_a_made_up_word_is_never_a_form_of_the_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter(["goes", "bluk"])
    monkeypatch.setattr(pseudowords, "_random_letters", lambda rng: next(words))
    assert pseudowords.random_pseudoword(np.random.default_rng(0)) == "bluk"
