"""The error analysis of transcripts in a card: the worst clips aligned word by word, and the confused verb forms.

The rows are those of predictions.parquet. The results are empty if the predictions are not texts.
"""

from __future__ import annotations

from typing import Any

from hfmm.grammar import parse
from hfmm.metrics import verb_form, wer

MOST_CLIPS = 8


def worst_clips(predictions: list[dict[str, Any]]) -> list[str]:
    """Return the clips with the most word errors, the worst first: for each its id above its alignment."""
    rows = [row for row in predictions if isinstance(row.get("prediction"), str) and isinstance(row["reference"], dict)]
    if not rows:
        return []
    edits, _ = wer.row_statistics([row["prediction"] for row in rows], [row["reference"] for row in rows])[""]
    worst = (-edits).argsort(kind="stable")[:MOST_CLIPS]
    return [
        f"{rows[index]['id']}\n{wer.alignment(rows[index]['prediction'], rows[index]['reference']['text'])}"
        for index in worst
        if edits[index]
    ]


def confusions(predictions: list[dict[str, Any]]) -> list[verb_form.Confusion]:
    """Return the confusions of tense and person, most frequent first; none if the references have no readings."""
    rows = [row for row in predictions if isinstance(row.get("prediction"), str) and "readings" in row["reference"]]
    texts, references = [row["prediction"] for row in rows], [row["reference"] for row in rows]
    return verb_form.confusions(texts, references, parse)
