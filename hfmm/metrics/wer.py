"""Word error rate: the words to replace, insert or delete, as a share of the reference's words.

Loadable by path, ``evaluate.load("wer.py")``, with no network and without hfmm; ``transcripts.py`` and ``quotients.py``
lie beside it.
"""

from __future__ import annotations

from typing import Any

import evaluate
import numpy as np

from ._edit_rates import align, error_rates, metric_info, normalize_words
from ._scores import ratio_scores

GREATER_IS_BETTER = False
SUMMARY = "words wrong, missing or too many for each word said, case and punctuation aside"  # the slice "", for people

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: list[str], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the per-row edits and reference words whose quotient of sums is the error rate.

    ``references`` give the ``text`` of each row. The slice "" is lightly normalised, which changes no word; ``raw``
    counts case and punctuation as well; ``Whisper-normalised`` is what papers on Whisper report, and kind to grammar
    mistakes, because it rewrites ``He's walked`` to ``he is walked``. A rate may exceed 1, and each word heard where
    the reference has none counts. Raises ValueError for input that cannot be scored.
    """
    return error_rates(predictions, references, str.split)


def alignment(prediction: str, reference: str, width: int = 100) -> str:
    """Return reference and prediction, lightly normalised, word under word, in lines of about ``width`` characters.

    A third line marks what a word is: S another one, I one too many, D missing.
    """
    true, said = normalize_words(reference).split(), normalize_words(prediction).split()
    lines, used = [["REF:", "HYP:", "    "]], 0
    for place, other in align(true, said):
        upper = "" if place is None else true[place]
        lower = "" if other is None else said[other]
        mark = "I" if place is None else "D" if other is None else "S" if upper != lower else ""
        wide = max(len(upper), len(lower))
        if used and used + 1 + wide > width:
            lines, used = [*lines, ["REF:", "HYP:", "    "]], 0
        used += 1 + wide
        lines[-1][0] += f" {upper or '*' * wide:{wide}}"
        lines[-1][1] += f" {lower or '*' * wide:{wide}}"
        lines[-1][2] += f" {mark:{wide}}"
    return "\n".join(line.rstrip() for block in lines for line in block if line.strip())


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class Wer(evaluate.Metric):
    """The `evaluate` face, of plain strings like the library's own."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return ratio_scores("wer", row_statistics(predictions, [{"text": text} for text in references]))
