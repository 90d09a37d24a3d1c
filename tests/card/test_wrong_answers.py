from __future__ import annotations

from typing import Any

from hfmm.card.wrong_answers import MAX_ROWS, wrong_answers


def row(index: int, *questions: tuple[str, str, str]) -> dict[str, Any]:
    kinds, answers, predictions = (list(column) for column in zip(*questions, strict=True))
    return {
        "id": f"row-{index}",
        "prediction": predictions,
        "reference": {"answers": answers, "kinds": kinds},
        "wrong": True,
    }


def test_every_kind_is_shown_before_a_second_of_the_same() -> None:
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


def test_answer_is_truncated_and_escaped_for_the_table() -> None:
    ((_, _, _, prediction),) = wrong_answers([row(0, ("", "a", "x | y\n```" + "z" * 100))])
    assert prediction.startswith("x \\| y '''zzz") and prediction.endswith("z…") and len(prediction) == 81


def test_predictions_without_answers_give_nothing() -> None:
    label_rows = [{"id": "0", "reference": ["tense: past"], "wrong": True, "prediction": ["tense: present"]}]
    transcript_rows = [{"id": "0", "reference": {"text": "a"}, "wrong": True, "prediction": "b"}]
    assert wrong_answers([]) == wrong_answers(label_rows) == wrong_answers(transcript_rows) == []
