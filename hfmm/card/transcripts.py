"""What a card shows of transcripts that are wrong: the worst clips word by word, and the verb forms misheard.

The rows are those of predictions.parquet; where their predictions are no texts there is nothing to show.
"""

from __future__ import annotations

from typing import Any

from hfmm.grammar import parse
from hfmm.metrics import verb_form, wer

MOST_CLIPS = 8


def worst_clips(predictions: list[dict[str, Any]]) -> list[str]:
    """Return the clips with the most words wrong, the worst first, each as its id above its alignment."""
    rows = [row for row in predictions if isinstance(row.get("prediction"), str)]
    if not rows:
        return []
    edits, _ = wer.row_statistics([row["prediction"] for row in rows], [row["reference"] for row in rows])[""]
    worst = (-edits).argsort(kind="stable")[:MOST_CLIPS]
    return [
        f"{rows[place]['id']}\n{wer.alignment(rows[place]['prediction'], rows[place]['reference']['text'])}"
        for place in worst
        if edits[place]
    ]


def confusions(predictions: list[dict[str, Any]]) -> list[verb_form.Confusion]:
    """Return the confusions of tense and person, most frequent first; none where the references bring no readings."""
    rows = [row for row in predictions if isinstance(row.get("prediction"), str) and "readings" in row["reference"]]
    said, references = [row["prediction"] for row in rows], [row["reference"] for row in rows]
    return verb_form.confusions(said, references, parse)
