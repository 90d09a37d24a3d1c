import random

import pytest

from hfmm.metrics import token_f1

WORDS = ("she", "has", "write", "written", "letter", "letter.", "Has")


def texts(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(0, 6))) for _ in range(count)]


def f1(prediction: str, answer: str) -> float:
    (numerator,), (denominator,) = token_f1.row_statistics([[prediction]], [{"answers": [answer]}])[""]
    assert denominator == 1
    return float(numerator)


def naive_f1(prediction: str, answer: str) -> float:
    """Return the harmonic mean of precision and recall, with shared words removed one by one."""
    predicted_words, words = (text.lower().strip().rstrip(".").split() for text in (prediction, answer))
    if not predicted_words and not words:
        return 1.0
    remaining, shared = list(words), 0
    for word in predicted_words:
        if word in remaining:
            remaining.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted_words), shared / len(words)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("seed", range(3))
def test_f1_equals_harmonic_mean_of_precision_and_recall(seed: int) -> None:
    for prediction, answer in zip(texts(200, seed), texts(200, seed + 10), strict=True):
        assert f1(prediction, answer) == pytest.approx(naive_f1(prediction, answer))


@pytest.mark.parametrize(
    ("prediction", "answer", "expected"),
    [
        ("past simple", "Past simple.", 1),
        ("past", "past simple", 2 / 3),
        ("has has", "has", 2 / 3),
        ("She ate an apple.", "She ate a apple.", 0.75),
        ("", "yes", 0),
        ("", "", 1),
    ],
)
def test_f1_of_an_answer(prediction: str, answer: str, expected: float) -> None:
    assert f1(prediction, answer) == pytest.approx(expected)


def test_every_kind_has_its_own_slice() -> None:
    references = [
        {"answers": ["past simple", "yes"], "kinds": ["tense", "judge"]},
        {"answers": ["no"], "kinds": ["judge"]},
    ]
    slices = token_f1.row_statistics([["past", "yes"], ["yes"]], references)
    assert {
        name: (numerators.tolist(), denominators.tolist()) for name, (numerators, denominators) in slices.items()
    } == {
        "": ([pytest.approx(5 / 3), 0], [2, 1]),
        "judge": ([1, 0], [1, 1]),
        "tense": ([pytest.approx(2 / 3), 0], [1, 0]),
    }
