import random
from functools import cache
from typing import Any

import jiwer
import numpy as np
import pytest

from hfmm.metrics import wer
from hfmm.metrics._edit_rates import normalize_words

WORDS = ("he", "He", "has", "works", "worked,", "the", "don't", "well-known")


def texts(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(0, 8))) for _ in range(count)]


def rows(references: list[str]) -> list[dict[str, str]]:
    return [{"text": text, "group": "any"} for text in references]


def edit_distance(reference: tuple[str, ...], prediction: tuple[str, ...]) -> int:
    """Return the Levenshtein distance by its recursive definition."""

    @cache
    def cost(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        substitution = cost(i - 1, j - 1) + (reference[i - 1] != prediction[j - 1])
        return min(substitution, cost(i - 1, j) + 1, cost(i, j - 1) + 1)

    return cost(len(reference), len(prediction))


@pytest.mark.parametrize("seed", range(3))
def test_edits_equal_edit_distance(seed: int) -> None:
    predictions, references = texts(60, seed), texts(60, seed + 10)
    slices = wer.row_statistics(predictions, rows(references))
    for slice_name, normalize in (("raw", str), ("", normalize_words)):
        edits, words = slices[slice_name]
        pairs = [
            (tuple(normalize(reference).split()), tuple(normalize(prediction).split()))
            for reference, prediction in zip(references, predictions, strict=True)
        ]
        assert edits.tolist() == [edit_distance(*pair) for pair in pairs]
        assert words.tolist() == [len(reference_words) for reference_words, _ in pairs]


@pytest.mark.parametrize("seed", range(3))
def test_corpus_rate_equals_jiwer(seed: int) -> None:
    predictions, references = texts(200, seed), texts(200, seed + 10)
    edits, words = wer.row_statistics(predictions, rows(references))["raw"]
    assert edits.sum() / words.sum() == pytest.approx(jiwer.wer(references, predictions))


@pytest.mark.parametrize(
    ("prediction", "reference", "edits", "words"),
    [
        ("", "he works", 2, 2),
        ("he works", "", 2, 0),
        ("", "", 0, 0),
        ("He works!", "he works", 0, 2),
        ("he’s walked", "He's walked.", 0, 2),
        ("he is walked", "he's walked", 2, 2),
    ],
)
def test_edits_and_words_of_a_row(prediction: str, reference: str, edits: int, words: int) -> None:
    numerators, denominators = wer.row_statistics([prediction, "a"], rows([reference, "a"]))[""]
    assert (numerators[0], denominators[0]) == (edits, words)


def test_only_the_whisper_slice_uses_whisper_normalization() -> None:
    slices = wer.row_statistics(["He is walked"], rows(["He's walked."]))
    assert {name: edits.sum() for name, (edits, _) in slices.items()} == {"": 2, "raw": 3, "Whisper-normalised": 0}
    assert next(iter(slices)) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  He's\twalked,\nhasn't  HE? ", "he's walked hasn't he"),
        ("‘Go,’ she said: “I’ll go.”", "go she said i'll go"),
        ("a well-known café, 3 €", "a well known café 3"),
        ("cafe\u0301 हिन्दी", "café हिन्दी"),
        ("... ' --", ""),
    ],
)
def test_normalize_words_changes_no_word(text: str, words: str) -> None:
    assert normalize_words(text) == words


def test_normalization_that_leaves_no_word_has_no_slice() -> None:
    assert set(wer.row_statistics(["um"], rows(["Um."]))) == {"", "raw"}


def test_invalid_input_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        wer.row_statistics(["a"], rows(["a", "b"]))
    with pytest.raises(ValueError, match="no reference contains a word"):
        wer.row_statistics(["a"], rows(["?"]))


def test_alignment_puts_words_below_each_other() -> None:
    assert wer.alignment("She worked in a garden now.", "she has worked in the garden").splitlines() == [
        "REF: she has worked in the garden ***",
        "HYP: she *** worked in a   garden now",
        "         D             S          I",
    ]


def test_long_alignment_is_wrapped_without_losing_words() -> None:
    reference, prediction = " ".join(["walked"] * 40), " ".join(["walk"] * 45)
    lines = wer.alignment(prediction, reference, width=60).splitlines()
    assert all(len(line) <= 60 + len("REF: ") for line in lines)
    predicted_words = [word for line in lines if line.startswith("HYP:") for word in line.split()[1:]]
    assert predicted_words == ["walk"] * 45
    assert sum(line.count("S") + line.count("I") for line in lines if line.startswith("    ")) == 45


@pytest.mark.parametrize("seed", range(3))
def test_alignment_has_one_mark_per_edit(seed: int) -> None:
    predictions, references = texts(40, seed), texts(40, seed + 10)
    references[0] = "he"
    edits, _ = wer.row_statistics(predictions, rows(references))[""]
    for count, prediction, reference in zip(edits, predictions, references, strict=True):
        marks = [line for line in wer.alignment(prediction, reference).splitlines() if line.startswith("    ")]
        assert len("".join(marks).split()) == count


def test_evaluate_loads_the_metric_by_path_offline_without_hfmm(compute_offline: Any) -> None:
    scores = compute_offline(wer, ["He is walked", ""], ["He's walked.", "go"])
    assert scores == {"wer": 1.0, "wer_raw": 4 / 3, "wer_Whisper-normalised": 0.25}


def test_row_statistics_have_a_bootstrap_interval() -> None:
    from hfmm.evaluation.bootstrap import bootstrap_ci

    edits, words = wer.row_statistics(texts(50, 0), rows(texts(50, 1)))[""]
    low, high = bootstrap_ci(edits, words, [str(index) for index in range(50)])
    assert low < edits.sum() / words.sum() < high
    assert np.isfinite([low, high]).all()
