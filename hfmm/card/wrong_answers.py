"""What a card shows of wrong answers: beside each the right one, for as many kinds of questions as there are.

The rows are those of predictions.parquet; where they hold no answers there is nothing to show.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hfmm.metrics._answers import iter_questions, normalize_answer

MAX_ROWS = 12
WIDTH = 80  # characters of an answer


class WrongAnswer(NamedTuple):
    """A cell each of the table."""

    row: str
    kind: str
    true: str
    said: str


def wrong_answers(predictions: list[dict[str, Any]]) -> list[WrongAnswer]:
    """Return the first wrong answer of each kind of question, then the second of each, and so on."""
    if not predictions or not isinstance(predictions[0]["reference"], dict):
        return []
    rows = [row for row in predictions if "answers" in row["reference"]]
    seen: dict[str, int] = {}
    found = []
    asked = iter_questions([row["prediction"] for row in rows], [row["reference"] for row in rows])
    for place, said, true, kind in asked:
        if normalize_answer(said) != normalize_answer(true):
            seen[kind] = seen.get(kind, 0) + 1
            found.append((seen[kind], WrongAnswer(rows[place]["id"], kind, _cell(true), _cell(said))))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])][:MAX_ROWS]


def _cell(text: str) -> str:
    """Return a text on one line, cut where it is long, in which no character ends a table's cell."""
    line = " ".join(text.split())
    return (line if len(line) <= WIDTH else line[: WIDTH - 1] + "…").replace("|", "\\|").replace("`", "'")
