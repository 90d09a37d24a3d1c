"""The error analysis of answers in a card: wrong answers of every type of question, next to the references.

The rows are those of predictions.parquet. The result is empty if they have no answers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hfmm.metrics._answers import iter_questions, normalize_answer

MAX_ROWS = 12
WIDTH = 80  # maximum number of characters of an answer


class WrongAnswer(NamedTuple):
    """A row of the table."""

    row_id: str
    kind: str
    reference: str
    prediction: str


def wrong_answers(predictions: list[dict[str, Any]]) -> list[WrongAnswer]:
    """Return the first wrong answer of each kind of question, then the second of each kind, and so on."""
    if not predictions or not isinstance(predictions[0]["reference"], dict):
        return []
    rows = [row for row in predictions if "answers" in row["reference"]]
    count_by_kind: dict[str, int] = {}
    ranked = []
    questions = iter_questions([row["prediction"] for row in rows], [row["reference"] for row in rows])
    for index, prediction, reference, kind in questions:
        if normalize_answer(prediction) != normalize_answer(reference):
            count_by_kind[kind] = count_by_kind.get(kind, 0) + 1
            answer = WrongAnswer(rows[index]["id"], kind, _cell(reference), _cell(prediction))
            ranked.append((count_by_kind[kind], answer))
    return [answer for _, answer in sorted(ranked, key=lambda pair: pair[0])][:MAX_ROWS]


def _cell(text: str) -> str:
    """Return a text on one line, truncated, without characters that end a cell of a Markdown table."""
    line = " ".join(text.split())
    return (line if len(line) <= WIDTH else line[: WIDTH - 1] + "…").replace("|", "\\|").replace("`", "'")
