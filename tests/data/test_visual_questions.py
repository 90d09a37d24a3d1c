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


def exchanges_by_kind(row: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the question and the answer of each kind in a row."""
    messages = normalize_messages(row)
    questions = [message["content"][-1]["text"] for message in messages[::2]]
    return dict(zip(row["kinds"], zip(questions, assistant_texts(messages), strict=True), strict=True))


def test_the_number_of_processes_does_not_change_the_rows(
    tmp_path: Path, data: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "MIN_ROWS_FOR_MULTIPROCESSING", 50)
    assert fingerprint(disable_media_decoding(build(tmp_path, num_proc=2))) == fingerprint(data)


def test_the_seed_changes_rows_and_adding_rows_keeps_earlier_ones(tmp_path: Path, data: DatasetDict) -> None:
    other_seed = disable_media_decoding(build(tmp_path / "other", seed=1, train=5))["train"]
    longer = disable_media_decoding(build(tmp_path / "longer", train=100))["train"]
    assert other_seed["messages"][:] != data["train"]["messages"][:5]
    assert longer[87] == data["train"][87]


def test_rows_have_the_format_of_trl(data: DatasetDict) -> None:
    assert data["train"].features["images"] == List(Image(decode=False))
    for row in data["train"]:
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * len(row["kinds"])
        assert [part["type"] for part in row["messages"][0]["content"]] == ["image", "text"]
        assert len(row["images"]) == 1
        assert decode(row["images"][0]).size == (32, 32)


def test_a_conversation_has_one_to_three_questions_of_different_kinds(rows: list[dict[str, Any]]) -> None:
    assert {len(row["kinds"]) for row in rows} == {1, 2, 3}
    assert all(len(set(row["kinds"])) == len(row["kinds"]) for row in rows)


def test_no_answer_reveals_a_later_one(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert [kind for kind in row["kinds"][:-1] if kind in FULL_SENTENCE_KINDS] == []


def test_the_kinds_of_icons_and_pages_are_equally_frequent(data: DatasetDict) -> None:
    pairs = [(plan.picture, plan.kind) for plan in question_plans(captions=False, pictures="both")]
    expected = [("icon", kind) for kind in RECOGNITION_QUESTIONS] + [
        ("page", kind) for kind in (*RECOGNITION_QUESTIONS, *CORRECTION_QUESTIONS)
    ]
    assert Counter(pairs) == dict.fromkeys(expected, 8)
    assert Counter(data["test"]["picture"][:]) == {"icon": 64, "page": 112}


def test_half_the_sentences_to_correct_are_wrong_in_balanced_ways(data: DatasetDict) -> None:
    correction_rows = [row for row in data["test"] if set(row["kinds"]) & set(CORRECTION_QUESTIONS)]
    assert Counter(row["error"] for row in correction_rows) == {"": 24} | dict.fromkeys(MISTAKE_KINDS, 6)
    assert {row["error"] for row in data["test"] if not set(row["kinds"]) & set(CORRECTION_QUESTIONS)} == {""}


def test_correction_answers_agree_with_the_text_of_the_page(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for kind, (_, answer) in exchanges_by_kind(row).items():
            if kind == "transcribe":
                assert answer == row["text"]
            elif kind == "judge":
                assert answer == ("no" if row["error"] else "yes")
            elif kind == "correct":
                assert (answer == row["text"]) == (not row["error"])
                assert f" {row['verb']}" in answer
                assert not row["error"] or answer in {
                    mistake.right.text for mistake in mistakes(VerbCell(*row["group"].split("/")), row["error"])
                }


def test_recognition_answers_agree_with_the_columns_and_the_parser(data: DatasetDict) -> None:
    features = data["test"].features
    for row in data["test"]:
        lemma, tense, person = (features[name].int2str(row[name]) for name in ("lemma", "tense", "person"))
        assert row["group"] == f"{lemma}/{tense}/{person}"
        answers = {kind: answer for kind, (_, answer) in exchanges_by_kind(row).items()}
        if row["picture"] == "page" and not row["error"]:
            assert (lemma, tense, person) in {reading[:3] for reading in parse(row["text"])}
        assert answers.get("lemma", lemma) == lemma
        assert answers.get("person", PERSON_NAMES[person]) == PERSON_NAMES[person]
        assert answers.get("tense", TENSES[tense]) == TENSES[tense]


def test_conjugated_answers_use_the_tense_in_the_question(rows: list[dict[str, Any]]) -> None:
    tenses: dict[str, Tense] = {"present simple": "present", "past simple": "past", "present perfect": "participle"}
    tenses |= {"future simple": "future"}
    count = 0
    for row in rows:
        if "conjugate" in row["kinds"]:
            question, answer = exchanges_by_kind(row)["conjugate"]
            lemma, tense, person = row["group"].split("/")
            (target,) = (tenses[name] for name in tenses if name in question)
            assert target != tense
            assert surface_form(lemma, target, person) in answer
            assert row["picture"] == "icon" or answer.endswith(row["text"].rpartition(" ")[2])
            count += 1
    assert count > 40


def test_each_image_has_one_correct_caption(tmp_path: Path) -> None:
    for row in build(tmp_path, content="captions")["test"]:
        (caption,) = assistant_texts(normalize_messages(row))
        assert row["kinds"] == ["caption"]
        assert caption == (captions(VerbCell(*row["group"].split("/")))[0] if row["picture"] == "icon" else row["text"])


def test_training_rows_can_end_with_a_caption_and_test_rows_do_not(tmp_path: Path, data: DatasetDict) -> None:
    both = build(tmp_path, content="both")
    assert all(row["kinds"][-1] == "caption" for row in both["train"])
    assert [row["kinds"][:-1] for row in both["train"]] == data["train"]["kinds"][:]
    assert both["test"]["messages"][:] == data["test"]["messages"][:]


@pytest.mark.parametrize(("image_kinds", "expected"), [("icons", {"icon"}), ("pages", {"page"})])
def test_images_can_be_of_one_kind(tmp_path: Path, image_kinds: str, expected: set[str]) -> None:
    assert set(build(tmp_path, image_kinds=image_kinds)["train"]["picture"][:]) == expected


def test_short_sentences_and_their_answers_end_with_the_verb(tmp_path: Path) -> None:
    for row in build(tmp_path, full_sentences=False)["test"]:
        if row["picture"] == "page":
            assert row["error"] or row["text"].endswith(f" {row['verb']}.")
            assert len(row["text"]) <= 36
            assert all(len(answer) <= 36 for _, answer in exchanges_by_kind(row).values())


def test_one_turn_gives_one_question(tmp_path: Path) -> None:
    assert {len(kinds) for kinds in build(tmp_path, turns=1)["train"]["kinds"][:]} == {1}


def test_held_out_fonts_do_not_leak(data: DatasetDict) -> None:
    for split, rows in data.items():
        assert set(rows["font"][:]) <= set(FONTS[split])


def test_held_out_cells_do_not_leak(tmp_path: Path) -> None:
    data = build(tmp_path, hold_out="cell")
    groups = {split: set(rows["group"][:]) for split, rows in data.items()}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, data: DatasetDict) -> Path:
    path = tmp_path_factory.mktemp("export") / "chats"
    save_dataset(
        data, path, name="chats", command="hfmm data visual_questions", description=visual_questions.DESCRIPTION
    )
    return path


def test_an_export_can_be_loaded_with_images_and_messages(exported: Path, data: DatasetDict, tmp_path: Path) -> None:
    loaded = load_dataset(str(exported), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].features["images"] == List(Image())
    for split, rows in data.items():
        assert loaded[split]["messages"][:] == rows["messages"][:]
    assert np.array_equal(np.asarray(loaded["test"][7]["images"][0]), np.asarray(decode(data["test"][7]["images"][0])))


def test_the_card_counts_questions_and_its_snippet_prints_the_shown_output(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    assert "image-text-to-text" in card
    assert re.search(r"\| judge \| \d+ \| \d+ \| \d+ \|", card)
    assert "| tense | 3 | 0 | 6 |" in card or "| tense | 3 | 1 | 6 |" in card
    assert "`messages` | list of {role: string, content: list of {type: string, text: string}}" in card
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    output = re.search(r"```\n([^`]*)\n```\n\n## How", card)
    assert code and output
    environment = {**os.environ, "HF_HOME": str(exported.parent / "home")}
    process = subprocess.run(
        [sys.executable, "-c", code[1]], cwd=exported.parent, env=environment, capture_output=True, text=True
    )
    assert process.stdout.strip() == output[1].strip(), process.stderr


def test_user_data_with_messages_and_images_can_be_loaded_from_a_folder(exported: Path, tmp_path: Path) -> None:
    options = folder.FolderOptions.model_validate({"path": str(exported), "columns": {"kinds": "kinds"}})
    data = disable_media_decoding(folder.build(options, tmp_path / "cache"))
    assert data["train"].features["images"] == List(Image(decode=False))
    row = data["test"][0]
    assert decode(row["images"][0]).size == (32, 32)
    assert len(assistant_texts(normalize_messages(row))) == len(row["kinds"])


def test_changing_an_image_changes_the_fingerprint(data: DatasetDict) -> None:
    test = data["test"].select(range(2))
    changed = test.map(lambda row: {"images": [row["images"][0] | {"bytes": b"other"}]}, features=test.features)
    assert fingerprint(DatasetDict({"train": test})) != fingerprint(DatasetDict({"train": changed}))
