from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import DatasetDict

from hfmm.data import fingerprint, text_questions
from hfmm.data.common import generate
from hfmm.data.common.messages import assistant_texts, normalize_messages
from hfmm.data.common.question_plan import CORRECTION_QUESTIONS, RECOGNITION_QUESTIONS
from hfmm.data.common.verb_cells import cells_in_split
from hfmm.data.text_questions import describe_icon
from hfmm.grammar import VerbCell
from hfmm.grammar.mistakes import mistakes
from hfmm.grammar.questions import PERSON_NAMES
from hfmm.grammar.sentences import sentences
from hfmm.hub.dataset import save_dataset

SMALL = {"train": 120, "validation": 20, "test": 120}


def build(folder: Path, num_proc: int = 1, **options: object) -> DatasetDict:
    return text_questions.build(text_questions.TextQuestionsOptions.model_validate(SMALL | options), folder, num_proc)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return build(tmp_path_factory.mktemp("text_questions"))


def answers_by_kind(row: dict[str, Any]) -> dict[str, str]:
    return dict(zip(row["kinds"], assistant_texts(normalize_messages(row)), strict=True))


def test_the_number_of_processes_does_not_change_the_rows(
    tmp_path: Path, data: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "MIN_ROWS_FOR_MULTIPROCESSING", 50)
    assert fingerprint(build(tmp_path, num_proc=2)) == fingerprint(data)


def test_the_first_line_is_the_text_that_an_image_would_show(data: DatasetDict) -> None:
    for row in data["test"]:
        first_line, _, question = row["messages"][0]["content"].partition("\n")
        cell = VerbCell(*row["group"].split("/"))
        expected = {sentence.text for full in (True, False) for sentence in sentences(cell, full)} | {
            describe_icon(cell)
        }
        if row["error"]:
            expected = {mistake.wrong for full in (True, False) for mistake in mistakes(cell, row["error"], full)}
        assert first_line == row["text"] and first_line in expected
        assert question and "\n" not in question


def test_an_icon_description_has_color_shape_and_verb() -> None:
    assert describe_icon(VerbCell("go", "past", "1sg")) == "a red circle with the word go"


def test_no_sentence_of_a_test_cell_is_in_training(data: DatasetDict) -> None:
    cells = {"/".join(cell) for cell in cells_in_split(0, "test")}
    assert set(data["test"]["group"][:]) <= cells
    assert not set(data["train"]["group"][:]) & cells


def test_only_training_rows_have_verbs_outside_the_twenty(data: DatasetDict) -> None:
    grid_groups = {"/".join(cell) for split in generate.SPLITS for cell in cells_in_split(0, split)}
    outside_rows = [row for row in data["train"] if row["group"] not in grid_groups]
    assert 0.15 < len(outside_rows) / len(data["train"]) < 0.45
    assert set(data["test"]["group"][:]) | set(data["validation"]["group"][:]) <= grid_groups
    for row in outside_rows:
        lemma, _, person = row["group"].split("/")
        answers = answers_by_kind(row)
        assert answers["transcribe"] == row["text"]
        assert (
            answers.get("lemma", lemma) == lemma and answers.get("person", PERSON_NAMES[person]) == PERSON_NAMES[person]
        )


def test_rows_have_as_many_questions_as_can_be_asked_together(data: DatasetDict) -> None:
    for row in data["test"]:
        question_count = len(row["kinds"])
        if set(row["kinds"]) & set(RECOGNITION_QUESTIONS):
            assert question_count in (3, 4)
        else:
            assert question_count == (2 if set(row["kinds"]) & set(CORRECTION_QUESTIONS) else 1)


def test_answers_agree_with_the_shown_text(data: DatasetDict) -> None:
    for row in data["test"]:
        answers = answers_by_kind(row)
        assert answers.get("transcribe", row["text"]) == row["text"]
        assert answers.get("judge", "yes" if not row["error"] else "no") == ("no" if row["error"] else "yes")
        assert (answers.get("correct", row["text"]) == row["text"]) == (not row["error"] or "correct" not in answers)


def test_a_dataset_without_images_can_be_exported(data: DatasetDict, tmp_path: Path) -> None:
    save_dataset(
        data,
        tmp_path / "chats",
        name="chats",
        command="hfmm data text_questions",
        description=text_questions.DESCRIPTION,
    )
    card = (tmp_path / "chats/README.md").read_text()
    assert "text-generation" in card and "image" not in card.partition("## Use")[2]
    assert (tmp_path / "chats/contact_sheet.png").is_file()
