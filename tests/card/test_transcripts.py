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
    readings = [reading._asdict() for reading in parse(text)]
    reference = {"text": text, "group": "any", "readings": readings}
    return {"id": f"clip-{index}", "reference": reference, "wrong": text != prediction, "prediction": prediction}


ROWS = [
    row(0, "She works.", "She works."),
    row(1, "She works at night.", "She worked at night."),
    row(2, "I have gone home.", "I go to Rome."),
    row(3, "He works.", "he worked"),
]
LABEL_ROWS = [{"id": "0", "reference": ["tense: past"], "wrong": True, "prediction": ["tense: present"]}]
EMBEDDING_ROWS = [{"id": "0", "reference": {"text": "a"}, "wrong": True, "image": [1.0]}]


def test_worst_clips_are_sorted_and_exclude_correct_ones() -> None:
    first, *others = transcripts.worst_clips(ROWS)
    assert first.splitlines()[:2] == ["clip-2", "REF: i have gone home"]
    assert [clip.splitlines()[0] for clip in others] == ["clip-1", "clip-3"]


def test_at_most_eight_clips_are_shown() -> None:
    assert len(transcripts.worst_clips(ROWS[1:2] * 20)) == 8


def test_confusions_are_counted_over_the_rows() -> None:
    (first, second) = transcripts.confusions(ROWS)
    assert first == ("present 3sg", "past 3sg", 2, "works", "worked")
    assert second[:3] == ("participle 1sg", "present 1sg", 1)


def test_predictions_that_are_not_texts_give_nothing() -> None:
    for rows in (LABEL_ROWS, EMBEDDING_ROWS, []):
        assert transcripts.worst_clips(rows) == []
        assert transcripts.confusions(rows) == []


def test_references_without_readings_have_no_confusions() -> None:
    rows = [row | {"reference": {"text": row["reference"]["text"]}} for row in ROWS]
    assert transcripts.confusions(rows) == []
    assert len(transcripts.worst_clips(rows)) == 3


def test_card_shows_clips_and_confusions_after_the_snippet_output(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished_run / "model/README.md").read_text()
    shutil.copytree(finished_run, tmp_path / "run")
    for name in ("worst_clips", "confusions"):
        result = getattr(transcripts, name)(ROWS)
        monkeypatch.setattr(transcripts, name, lambda _, result=result: result)
    text = model_card.write_card(*open_evaluated_run(tmp_path / "run")).read_text()
    assert "\n\n```\nclip-2\nREF: i have gone home" in text
    assert "| present 3sg | past 3sg | 2 | works → worked |\n" in text
    output_block = re.compile(r"```text\n(.*?)```", re.DOTALL)
    assert output_block.findall(text) == output_block.findall(before)
    assert text.count("```") == before.count("```") + 2
    assert "\n\n\n" not in text[text.index("### Error analysis") :]
