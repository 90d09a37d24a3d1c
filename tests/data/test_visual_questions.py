import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import DatasetDict, Image, List, load_dataset

from hfmm.data import disable_media_decoding, fingerprint, folder, visual_questions
from hfmm.data.common import generate
from hfmm.data.common.images import decode
from hfmm.data.common.messages import assistant_texts, normalize_messages
from hfmm.data.common.question_plan import CORRECTION_QUESTIONS, RECOGNITION_QUESTIONS, question_plans
from hfmm.data.icons import FONTS
from hfmm.grammar import Tense, VerbCell, captions, parse, surface_form
from hfmm.grammar.mistakes import MISTAKE_KINDS, mistakes
from hfmm.grammar.questions import FULL_SENTENCE_KINDS, PERSON_NAMES
from hfmm.hub.dataset import save_dataset

TENSES = {"infinitive": "infinitive", "present": "present simple", "past": "past simple"}
TENSES |= {"participle": "past participle", "future": "future simple"}
SMALL = {"train": 88, "validation": 24, "test": 176, "size": 32}


def build(folder: Path, num_proc: int = 1, **options: object) -> DatasetDict:
    return visual_questions.build(
        visual_questions.VisualQuestionsOptions.model_validate(SMALL | options), folder, num_proc
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return disable_media_decoding(build(tmp_path_factory.mktemp("visual_questions")))


@pytest.fixture(scope="module")
def rows(data: DatasetDict) -> list[dict[str, Any]]:
    return [row for split in data.values() for row in split]


def asked(row: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The question and the answer of each kind in a row."""
    messages = normalize_messages(row)
    questions = [message["content"][-1]["text"] for message in messages[::2]]
    return dict(zip(row["kinds"], zip(questions, assistant_texts(messages), strict=True), strict=True))


def test_the_same_seed_gives_the_same_rows_in_any_number_of_processes(
    tmp_path: Path, data: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "MIN_ROWS_FOR_MULTIPROCESSING", 50)
    assert fingerprint(disable_media_decoding(build(tmp_path, num_proc=2))) == fingerprint(data)


def test_another_seed_gives_other_rows_and_more_rows_keep_the_earlier_ones(tmp_path: Path, data: DatasetDict) -> None:
    other = disable_media_decoding(build(tmp_path / "other", seed=1, train=5))["train"]
    more = disable_media_decoding(build(tmp_path / "more", train=100))["train"]
    assert other["messages"][:] != data["train"]["messages"][:5]
    assert more[87] == data["train"][87]


def test_rows_are_what_trl_reads(data: DatasetDict) -> None:
    assert data["train"].features["images"] == List(Image(decode=False))
    for row in data["train"]:
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * len(row["kinds"])
        assert [part["type"] for part in row["messages"][0]["content"]] == ["image", "text"]
        assert len(row["images"]) == 1
        assert decode(row["images"][0]).size == (32, 32)


def test_a_conversation_has_one_to_three_questions_each_of_another_kind(rows: list[dict[str, Any]]) -> None:
    assert {len(row["kinds"]) for row in rows} == {1, 2, 3}
    assert all(len(set(row["kinds"])) == len(row["kinds"]) for row in rows)


def test_no_answer_gives_a_later_one_away(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert [kind for kind in row["kinds"][:-1] if kind in FULL_SENTENCE_KINDS] == []


def test_every_kind_of_either_picture_leads_equally_often(data: DatasetDict) -> None:
    drawn = [(one.picture, one.kind) for one in question_plans(captions=False, pictures="both")]
    expected = [("icon", kind) for kind in RECOGNITION_QUESTIONS] + [
        ("page", kind) for kind in (*RECOGNITION_QUESTIONS, *CORRECTION_QUESTIONS)
    ]
    assert Counter(drawn) == dict.fromkeys(expected, 8)
    assert Counter(data["test"]["picture"][:]) == {"icon": 64, "page": 112}


def test_a_sentence_to_mark_is_wrong_every_other_time_and_in_every_way_equally_often(data: DatasetDict) -> None:
    marked = [row for row in data["test"] if set(row["kinds"]) & set(CORRECTION_QUESTIONS)]
    assert Counter(row["error"] for row in marked) == {"": 24} | dict.fromkeys(MISTAKE_KINDS, 6)
    assert {row["error"] for row in data["test"] if not set(row["kinds"]) & set(CORRECTION_QUESTIONS)} == {""}


def test_marks_agree_with_what_the_page_says(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for kind, (_, answer) in asked(row).items():
            if kind == "transcribe":
                assert answer == row["text"]
            elif kind == "judge":
                assert answer == ("no" if row["error"] else "yes")
            elif kind == "correct":
                assert (answer == row["text"]) == (not row["error"])
                assert f" {row['verb']}" in answer
                assert not row["error"] or answer in {
                    one.right.text for one in mistakes(VerbCell(*row["group"].split("/")), row["error"])
                }


def test_names_agree_with_the_columns_and_with_the_parser(data: DatasetDict) -> None:
    features = data["test"].features
    for row in data["test"]:
        lemma, tense, person = (features[name].int2str(row[name]) for name in ("lemma", "tense", "person"))
        assert row["group"] == f"{lemma}/{tense}/{person}"
        found = {kind: answer for kind, (_, answer) in asked(row).items()}
        if row["picture"] == "page" and not row["error"]:
            assert (lemma, tense, person) in {reading[:3] for reading in parse(row["text"])}
        assert found.get("lemma", lemma) == lemma
        assert found.get("person", PERSON_NAMES[person]) == PERSON_NAMES[person]
        assert found.get("tense", TENSES[tense]) == TENSES[tense]


def test_conjugated_answers_are_in_the_tense_that_the_question_names(rows: list[dict[str, Any]]) -> None:
    names: dict[str, Tense] = {"present simple": "present", "past simple": "past", "present perfect": "participle"}
    names |= {"future simple": "future"}
    count = 0
    for row in rows:
        if "conjugate" in row["kinds"]:
            question, answer = asked(row)["conjugate"]
            lemma, tense, person = row["group"].split("/")
            (target,) = (short for name, short in names.items() if name in question)
            assert target != tense
            assert surface_form(lemma, target, person) in answer
            assert row["picture"] == "icon" or answer.endswith(row["text"].rpartition(" ")[2])
            count += 1
    assert count > 40


def test_captions_are_one_a_picture_and_true(tmp_path: Path) -> None:
    for row in build(tmp_path, content="captions")["test"]:
        (caption,) = assistant_texts(normalize_messages(row))
        assert row["kinds"] == ["caption"]
        assert caption == (captions(VerbCell(*row["group"].split("/")))[0] if row["picture"] == "icon" else row["text"])


def test_training_rows_can_end_with_a_caption_that_test_rows_do_not_have(tmp_path: Path, data: DatasetDict) -> None:
    both = build(tmp_path, content="both")
    assert all(row["kinds"][-1] == "caption" for row in both["train"])
    assert [row["kinds"][:-1] for row in both["train"]] == data["train"]["kinds"][:]
    assert both["test"]["messages"][:] == data["test"]["messages"][:]


@pytest.mark.parametrize(("pictures", "shown"), [("icons", {"icon"}), ("pages", {"page"})])
def test_pictures_can_be_of_one_sort(tmp_path: Path, pictures: str, shown: set[str]) -> None:
    assert set(build(tmp_path, image_kinds=pictures)["train"]["picture"][:]) == shown


def test_without_complements_a_page_ends_with_the_verb_and_so_do_answers(tmp_path: Path) -> None:
    for row in build(tmp_path, full_sentences=False)["test"]:
        if row["picture"] == "page":
            assert row["error"] or row["text"].endswith(f" {row['verb']}.")
            assert len(row["text"]) <= 36
            assert all(len(answer) <= 36 for _, answer in asked(row).values())


def test_one_turn_is_one_question(tmp_path: Path) -> None:
    assert {len(kinds) for kinds in build(tmp_path, turns=1)["train"]["kinds"][:]} == {1}


def test_held_out_fonts_do_not_leak(data: DatasetDict) -> None:
    for split, part in data.items():
        assert set(part["font"][:]) <= set(FONTS[split])


def test_held_out_cells_do_not_leak(tmp_path: Path) -> None:
    data = build(tmp_path, hold_out="cell")
    seen = {split: set(part["group"][:]) for split, part in data.items()}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, data: DatasetDict) -> Path:
    path = tmp_path_factory.mktemp("export") / "chats"
    save_dataset(data, path, name="chats", command="hfmm data conversations", description=visual_questions.DESCRIPTION)
    return path


def test_an_export_reads_back_as_pictures_and_chats(exported: Path, data: DatasetDict, tmp_path: Path) -> None:
    again = load_dataset(str(exported), cache_dir=str(tmp_path / "cache"))
    assert again["train"].features["images"] == List(Image())
    for split, part in data.items():
        assert again[split]["messages"][:] == part["messages"][:]
    assert np.array_equal(np.asarray(again["test"][7]["images"][0]), np.asarray(decode(data["test"][7]["images"][0])))


def test_the_card_counts_questions_and_errors_and_its_snippet_prints_what_it_shows(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    assert "image-text-to-text" in card
    assert re.search(r"\| judge \| \d+ \| \d+ \| \d+ \|", card)
    assert "| tense | 3 | 0 | 6 |" in card or "| tense | 3 | 1 | 6 |" in card
    assert "`messages` | list of {role: string, content: list of {type: string, text: string}}" in card
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    shown = re.search(r"```\n([^`]*)\n```\n\n## How", card)
    assert code and shown
    environment = {**os.environ, "HF_HOME": str(exported.parent / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code[1]], cwd=exported.parent, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == shown[1].strip(), done.stderr


def test_own_data_with_messages_and_images_come_through_the_folder_builder(exported: Path, tmp_path: Path) -> None:
    options = folder.FolderOptions.model_validate({"path": str(exported), "columns": {"kinds": "kinds"}})
    data = disable_media_decoding(folder.build(options, tmp_path / "cache"))
    assert data["train"].features["images"] == List(Image(decode=False))
    row = data["test"][0]
    assert decode(row["images"][0]).size == (32, 32)
    assert len(assistant_texts(normalize_messages(row))) == len(row["kinds"])


def test_a_picture_that_changes_changes_the_fingerprint(data: DatasetDict) -> None:
    test = data["test"].select(range(2))
    other = test.map(lambda row: {"images": [row["images"][0] | {"bytes": b"other"}]}, features=test.features)
    assert fingerprint(DatasetDict({"train": test})) != fingerprint(DatasetDict({"train": other}))
