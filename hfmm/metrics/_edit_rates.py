"""Helpers of the transcription metrics: normalization, alignment and error rates.

The metrics import this module relatively, because `evaluate.load` copies only relative imports along with a metric.
It does not copy the imports of those, so this module has no relative import.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import datasets
import evaluate
import numpy as np
from rapidfuzz.distance import Levenshtein

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]

_APOSTROPHES = str.maketrans("’‘ʼ", "'''")


def normalize_words(text: str) -> str:
    """Return the words in lower case, separated by single spaces, without punctuation except apostrophes in words.

    No word is changed, so verb forms stay as spoken.
    """
    text = unicodedata.normalize("NFC", text).lower().translate(_APOSTROPHES)
    text = "".join(char if char == "'" or unicodedata.category(char)[0] in "LMN" else " " for char in text)
    return " ".join(filter(None, (word.strip("'") for word in text.split())))


def collapse_whitespace(text: str) -> str:
    """Return the text with single spaces between words and none around them."""
    return " ".join(text.split())


def whisper_normalize(text: str) -> str:
    """Return a text normalized by Whisper's English normalizer (Radford et al. 2022, arXiv:2212.04356, appendix C).

    It expands contractions, ``He's walked`` to ``he is walked``, and writes numbers as digits. Its table of British
    spellings is on the Hub and is not used, so ``colour`` and ``color`` are different words. It applies English rules
    to every language: it removes the German word ``um``, because it is a filler word in English.
    """
    return collapse_whitespace(_whisper_normalizer()(text))


@lru_cache(maxsize=1)
def _whisper_normalizer() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalizer: Callable[[str], str] = EnglishTextNormalizer({})
    return normalizer


NORMALISATIONS: dict[str, Callable[[str], str]] = {
    "": normalize_words,
    "raw": collapse_whitespace,
    "Whisper-normalised": whisper_normalize,
}


def error_rates(
    predictions: Sequence[str], references: Sequence[dict[str, Any]], units: Callable[[str], Sequence[str]]
) -> Statistics:
    """Return, for each normalization, the edits of each row and the units of its reference. ``units`` splits a text.

    The ratio of their sums is the error rate of the corpus, 0 or more. ``Whisper-normalised`` uses Whisper's English
    normalizer for every language and is meaningful for English only. A normalization that leaves no unit in any
    reference has no slice. Raises ValueError for input that cannot be scored.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    slices: Statistics = {}
    for slice_name, normalize in NORMALISATIONS.items():
        pairs = [
            (units(normalize(reference["text"])), units(normalize(prediction)))
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        lengths = np.array([len(reference_units) for reference_units, _ in pairs], dtype=float)
        if lengths.any():
            slices[slice_name] = (np.array([Levenshtein.distance(*pair) for pair in pairs], dtype=float), lengths)
    if "" not in slices:
        raise ValueError("no reference contains a word, so there is nothing to score")
    return slices


def metric_info(description: str) -> evaluate.MetricInfo:
    """Return the `evaluate` description of a metric of plain strings."""
    text = datasets.Value("string")
    return evaluate.MetricInfo(
        description=description,
        citation="",
        inputs_description="predictions and references: a text for each row",
        features=datasets.Features({"predictions": text, "references": text}),
    )


def align(reference: Sequence[str], prediction: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Return the aligned indices of two lists of words by a shortest edit script. None marks a missing counterpart."""
    return [
        pair
        for block in Levenshtein.opcodes(reference, prediction)
        for pair in zip_longest(
            range(block.src_start, block.src_end),
            range(block.dest_start, block.dest_end),
        )
    ]
