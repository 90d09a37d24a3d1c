import random

import pytest

from hfmm.metrics import token_f1

WORDS = ("she", "has", "write", "written", "letter", "letter.", "Has")


def texts(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(0, 6))) for _ in range(count)]


def f1(given: str, true: str) -> float:
    (top,), (bottom,) = token_f1.row_statistics([[given]], [{"answers": [true]}])[""]
    assert bottom == 1
    return float(top)


def by_definition(given: str, true: str) -> float:
    """Precision and recall of words crossed out one by one, and their harmonic mean."""
    said, due = (text.lower().strip().rstrip(".").split() for text in (given, true))
    if not said and not due:
        return 1.0
    left, shared = list(due), 0
    for word in said:
        if word in left:
            left.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(said), shared / len(due)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_the_harmonic_mean_of_precision_and_recall(seed: int) -> None:
    for given, true in zip(texts(200, seed), texts(200, seed + 10), strict=True):
        assert f1(given, true) == pytest.approx(by_definition(given, true))


@pytest.mark.parametrize(
    ("given", "true", "expected"),
    [
        ("past simple", "Past simple.", 1),
        ("past", "past simple", 2 / 3),
        ("has has", "has", 2 / 3),
        ("She ate an apple.", "She ate a apple.", 0.75),
        ("", "yes", 0),
        ("", "", 1),
    ],
)
def test_an_answer_is_scored_by_hand(given: str, true: str, expected: float) -> None:
    assert f1(given, true) == pytest.approx(expected)


def test_every_kind_has_its_own_mean() -> None:
    references = [
        {"answers": ["past simple", "yes"], "kinds": ["tense", "judge"]},
        {"answers": ["no"], "kinds": ["judge"]},
    ]
    slices = token_f1.row_statistics([["past", "yes"], ["yes"]], references)
    assert {name: (tops.tolist(), bottoms.tolist()) for name, (tops, bottoms) in slices.items()} == {
        "": ([pytest.approx(5 / 3), 0], [2, 1]),
        "judge": ([1, 0], [1, 1]),
        "tense": ([pytest.approx(2 / 3), 0], [1, 0]),
    }
