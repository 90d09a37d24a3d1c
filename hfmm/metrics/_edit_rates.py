"""What the metrics of transcripts share: how texts are normalised, aligned and counted.

They import it relatively, because `evaluate.load` copies only such a file along with the metric. It copies no
further, so this one imports nothing beside it.
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
    """Return the words in lower case with one space between them, punctuation gone but for the apostrophes in words.

    It changes no word, so that a verb form stays what was said.
    """
    straight = unicodedata.normalize("NFC", text).lower().translate(_APOSTROPHES)
    kept = "".join(one if one == "'" or unicodedata.category(one)[0] in "LMN" else " " for one in straight)
    return " ".join(filter(None, (word.strip("'") for word in kept.split())))


def collapse_whitespace(text: str) -> str:
    """Return the text as it is, but for its whitespace: one space between words and none around them."""
    return " ".join(text.split())


def whisper_normalize(text: str) -> str:
    """Return what Whisper's English normaliser makes of a text (Radford et al. 2022, arXiv:2212.04356, appendix C).

    It writes contractions out, ``He's walked`` as ``he is walked``, and numbers in digits. Its table of British
    spellings lies on the Hub and is left out, so that ``colour`` and ``color`` stay two words. Its rules are those of
    English whatever the language: of a German text it drops the word ``um``, taking it for a hesitation.
    """
    return collapse_whitespace(_whisper_normaliser()(text))


@lru_cache(maxsize=1)
def _whisper_normaliser() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normaliser: Callable[[str], str] = EnglishTextNormalizer({})
    return normaliser


NORMALISATIONS: dict[str, Callable[[str], str]] = {
    "": normalize_words,
    "raw": collapse_whitespace,
    "Whisper-normalised": whisper_normalize,
}


def error_rates(
    predictions: Sequence[str], references: Sequence[dict[str, Any]], units: Callable[[str], Sequence[str]]
) -> Statistics:
    """Return, for each normalisation, the edits of each row and the units of its reference; ``units`` splits a text.

    ``Whisper-normalised`` is by Whisper's English normaliser, whatever the language, and means something for English.
    The quotient of sums is the error rate of the whole corpus, 0 or more. A normalisation that leaves nothing of any
    reference has no slice. Raises ValueError for input that cannot be scored.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    slices: Statistics = {}
    for name, normalise in NORMALISATIONS.items():
        pairs = [
            (units(normalise(reference["text"])), units(normalise(prediction)))
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        lengths = np.array([len(true) for true, _ in pairs], dtype=float)
        if lengths.any():
            slices[name] = (np.array([Levenshtein.distance(*pair) for pair in pairs], dtype=float), lengths)
    if "" not in slices:
        raise ValueError("no reference holds a word, so there is nothing to score")
    return slices


def metric_info(description: str) -> evaluate.MetricInfo:
    """Return what `evaluate` is told of a metric of plain strings."""
    text = datasets.Value("string")
    return evaluate.MetricInfo(
        description=description,
        citation="",
        inputs_description="predictions and references: a text for each row",
        features=datasets.Features({"predictions": text, "references": text}),
    )


def align(true: Sequence[str], said: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Return which positions of two lists of words a shortest edit script sets side by side, None against nothing."""
    return [
        pair
        for block in Levenshtein.opcodes(true, said)
        for pair in zip_longest(
            range(block.src_start, block.src_end),
            range(block.dest_start, block.dest_end),
        )
    ]
