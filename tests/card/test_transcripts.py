from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from hfmm.card import model_card, transcripts
from hfmm.grammar import parse
from tests.loading import open_evaluated_run


def row(index: int, text: str, prediction: str) -> dict[str, Any]:
    readings = [one._asdict() for one in parse(text)]
    reference = {"text": text, "group": "any", "readings": readings}
    return {"id": f"clip-{index}", "reference": reference, "wrong": text != prediction, "prediction": prediction}


ROWS = [
    row(0, "She works.", "She works."),
    row(1, "She works at night.", "She worked at night."),
    row(2, "I have gone home.", "I go to Rome."),
    row(3, "He works.", "he worked"),
]
PICTURES = [{"id": "0", "reference": ["tense: past"], "wrong": True, "prediction": ["tense: present"]}]
EMBEDDINGS = [{"id": "0", "reference": {"text": "a"}, "wrong": True, "image": [1.0]}]


def test_the_clip_with_the_most_words_wrong_comes_first_and_a_right_one_never() -> None:
    first, *others = transcripts.worst_clips(ROWS)
    assert first.splitlines()[:2] == ["clip-2", "REF: i have gone home"]
    assert [one.splitlines()[0] for one in others] == ["clip-1", "clip-3"]


def test_it_shows_eight_clips_at_most() -> None:
    assert len(transcripts.worst_clips(ROWS[1:2] * 20)) == 8


def test_the_confusions_are_those_of_the_rows() -> None:
    (first, second) = transcripts.confusions(ROWS)
    assert first == ("present 3sg", "past 3sg", 2, "works", "worked")
    assert second[:3] == ("participle 1sg", "present 1sg", 1)


def test_other_predictions_have_nothing_of_it() -> None:
    for rows in (PICTURES, EMBEDDINGS, []):
        assert transcripts.worst_clips(rows) == []
        assert transcripts.confusions(rows) == []


def test_references_without_readings_have_no_confusions() -> None:
    rows = [one | {"reference": {"text": one["reference"]["text"]}} for one in ROWS]
    assert transcripts.confusions(rows) == []
    assert len(transcripts.worst_clips(rows)) == 3


def test_the_card_shows_both_and_its_first_text_is_still_what_the_snippet_prints(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished_run / "model/README.md").read_text()
    shutil.copytree(finished_run, tmp_path / "run")
    for name in ("worst_clips", "confusions"):
        shown = getattr(transcripts, name)(ROWS)
        monkeypatch.setattr(transcripts, name, lambda _, shown=shown: shown)
    text = model_card.write_card(*open_evaluated_run(tmp_path / "run")).read_text()
    assert "\n\n```\nclip-2\nREF: i have gone home" in text
    assert "| present 3sg | past 3sg | 2 | works → worked |\n" in text
    printed = re.compile(r"```text\n(.*?)```", re.DOTALL)
    assert [match[1] for match in printed.finditer(text)] == [match[1] for match in printed.finditer(before)]
    assert text.count("```") == before.count("```") + 2
    assert "\n\n\n\n" not in text[text.index("### Mistakes") : text.index("## Training")]
