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


def fewest_edits(true: tuple[str, ...], said: tuple[str, ...]) -> int:
    """The definition of Levenshtein's distance, as it is written."""

    @cache
    def cost(first: int, second: int) -> int:
        if not first or not second:
            return first + second
        substitution = cost(first - 1, second - 1) + (true[first - 1] != said[second - 1])
        return min(substitution, cost(first - 1, second) + 1, cost(first, second - 1) + 1)

    return cost(len(true), len(said))


@pytest.mark.parametrize("seed", range(3))
def test_edits_equal_the_definition(seed: int) -> None:
    predictions, references = texts(60, seed), texts(60, seed + 10)
    slices = wer.row_statistics(predictions, rows(references))
    for name, normalise in (("raw", str), ("", normalize_words)):
        edits, words = slices[name]
        pairs = [
            (tuple(normalise(true).split()), tuple(normalise(said).split()))
            for true, said in zip(references, predictions, strict=True)
        ]
        assert edits.tolist() == [fewest_edits(*pair) for pair in pairs]
        assert words.tolist() == [len(true) for true, _ in pairs]


@pytest.mark.parametrize("seed", range(3))
def test_the_corpus_rate_is_that_of_jiwer(seed: int) -> None:
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
def test_a_row_is_counted_by_definition(prediction: str, reference: str, edits: int, words: int) -> None:
    tops, bottoms = wer.row_statistics([prediction, "a"], rows([reference, "a"]))[""]
    assert (tops[0], bottoms[0]) == (edits, words)


def test_only_the_slice_of_that_name_is_normalised_as_whisper_does() -> None:
    slices = wer.row_statistics(["He is walked"], rows(["He's walked."]))
    assert {name: tops.sum() for name, (tops, _) in slices.items()} == {"": 2, "raw": 3, "Whisper-normalised": 0}
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
def test_the_light_normalisation_changes_no_word(text: str, words: str) -> None:
    assert normalize_words(text) == words


def test_a_normalisation_that_leaves_nothing_has_no_slice() -> None:
    assert set(wer.row_statistics(["um"], rows(["Um."]))) == {"", "raw"}


def test_what_cannot_be_scored_is_named() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        wer.row_statistics(["a"], rows(["a", "b"]))
    with pytest.raises(ValueError, match="no reference holds a word"):
        wer.row_statistics(["a"], rows(["?"]))


def test_an_alignment_sets_word_under_word() -> None:
    assert wer.alignment("She worked in a garden now.", "she has worked in the garden").splitlines() == [
        "REF: she has worked in the garden ***",
        "HYP: she *** worked in a   garden now",
        "         D             S          I",
    ]


def test_a_long_alignment_is_broken_and_loses_no_word() -> None:
    true, said = " ".join(["walked"] * 40), " ".join(["walk"] * 45)
    lines = wer.alignment(said, true, width=60).splitlines()
    assert all(len(line) <= 60 + len("REF: ") for line in lines)
    heard = [word for line in lines if line.startswith("HYP:") for word in line.split()[1:]]
    assert heard == ["walk"] * 45
    assert sum(line.count("S") + line.count("I") for line in lines if line.startswith("    ")) == 45


@pytest.mark.parametrize("seed", range(3))
def test_an_alignment_marks_as_many_words_as_there_are_edits(seed: int) -> None:
    predictions, references = texts(40, seed), texts(40, seed + 10)
    references[0] = "he"
    edits, _ = wer.row_statistics(predictions, rows(references))[""]
    for count, said, true in zip(edits, predictions, references, strict=True):
        marks = [line for line in wer.alignment(said, true).splitlines() if line.startswith("    ")]
        assert len("".join(marks).split()) == count


def test_evaluate_loads_it_by_path_without_network_and_without_hfmm(alone: Any) -> None:
    scores = alone(wer, ["He is walked", ""], ["He's walked.", "go"])
    assert scores == {"wer": 1.0, "wer_raw": 4 / 3, "wer_Whisper-normalised": 0.25}


def test_intervals_can_be_drawn_from_its_statistics() -> None:
    from hfmm.evaluation.bootstrap import bootstrap_ci

    edits, words = wer.row_statistics(texts(50, 0), rows(texts(50, 1)))[""]
    low, high = bootstrap_ci(edits, words, [str(index) for index in range(50)])
    assert low < edits.sum() / words.sum() < high
    assert np.isfinite([low, high]).all()
