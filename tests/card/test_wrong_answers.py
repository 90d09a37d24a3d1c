from __future__ import annotations

from typing import Any

from hfmm.card.wrong_answers import MAX_ROWS, wrong_answers


def row(index: int, *questions: tuple[str, str, str]) -> dict[str, Any]:
    kinds, true, said = (list(one) for one in zip(*questions, strict=True))
    return {"id": f"row-{index}", "prediction": said, "reference": {"answers": true, "kinds": kinds}, "wrong": True}


def test_every_kind_is_shown_before_one_is_shown_twice() -> None:
    rows = [
        row(0, ("tense", "past", "Past."), ("person", "1sg", "2sg")),
        row(1, ("person", "3sg", "2sg")),
        row(2, ("tense", "past", "present")),
    ]
    assert wrong_answers(rows) == [
        ("row-0", "person", "1sg", "2sg"),
        ("row-2", "tense", "past", "present"),
        ("row-1", "person", "3sg", "2sg"),
    ]
    assert len(wrong_answers(rows * 9)) == MAX_ROWS


def test_an_answer_stays_in_its_cell() -> None:
    ((_, _, _, said),) = wrong_answers([row(0, ("", "a", "x | y\n```" + "z" * 100))])
    assert said.startswith("x \\| y '''zzz") and said.endswith("z…") and len(said) == 81


def test_other_predictions_have_none() -> None:
    classes = [{"id": "0", "reference": ["tense: past"], "wrong": True, "prediction": ["tense: present"]}]
    clips = [{"id": "0", "reference": {"text": "a"}, "wrong": True, "prediction": "b"}]
    assert wrong_answers([]) == wrong_answers(classes) == wrong_answers(clips) == []
