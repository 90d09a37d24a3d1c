"""Word error rate: substituted, inserted and deleted words as a share of the reference words.

Can be loaded by path with ``evaluate.load("wer.py")``, without network and without hfmm. ``_edit_rates.py`` and
``_scores.py`` must be in the same folder.
"""

from __future__ import annotations

from typing import Any

import evaluate
import numpy as np

from ._edit_rates import align, error_rates, metric_info, normalize_words
from ._scores import ratio_scores

GREATER_IS_BETTER = False
PERCENT = True
# Describes the slice "" in a model card.
SUMMARY = "word substitutions, insertions and deletions per reference word, ignoring case and punctuation"

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def row_statistics(predictions: list[str], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the edits and reference words of each row. The score is the ratio of their sums.

    ``references`` have the ``text`` of each row. The slice "" ignores case and punctuation and changes no word. ``raw``
    also counts case and punctuation. ``Whisper-normalised`` is the rate reported in papers on Whisper. It hides grammar
    mistakes, because it rewrites ``He's walked`` to ``he is walked``. Insertions count, so a rate can exceed 1. Raises
    ValueError for input that cannot be scored.
    """
    return error_rates(predictions, references, str.split)


def alignment(prediction: str, reference: str, width: int = 100) -> str:
    """Return the normalized reference and prediction aligned word by word, in lines of about ``width`` characters.

    A third line marks errors: S for a substitution, I for an insertion, D for a deletion.
    """
    reference_words, predicted_words = normalize_words(reference).split(), normalize_words(prediction).split()
    blocks, line_width = [["REF:", "HYP:", "    "]], 0
    for reference_index, predicted_index in align(reference_words, predicted_words):
        upper = "" if reference_index is None else reference_words[reference_index]
        lower = "" if predicted_index is None else predicted_words[predicted_index]
        mark = "I" if reference_index is None else "D" if predicted_index is None else "S" if upper != lower else ""
        column_width = max(len(upper), len(lower))
        if line_width and line_width + 1 + column_width > width:
            blocks, line_width = [*blocks, ["REF:", "HYP:", "    "]], 0
        line_width += 1 + column_width
        blocks[-1][0] += f" {upper or '*' * column_width:{column_width}}"
        blocks[-1][1] += f" {lower or '*' * column_width:{column_width}}"
        blocks[-1][2] += f" {mark:{column_width}}"
    return "\n".join(line.rstrip() for block in blocks for line in block if line.strip())


class Wer(evaluate.Metric):
    """The `evaluate` metric, which takes plain strings."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(__doc__ or "")

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        slices = row_statistics(predictions, [{"text": text} for text in references])
        return ratio_scores(slices, overall="wer", prefix="wer_")
