import random
from pathlib import Path

import pytest

from hfmm.metrics import accuracy


def rows(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    generator = random.Random(seed)

    def row() -> list[str]:
        return [f"tense: {generator.choice('ab')}", f"person: {generator.choice('xyz')}"]

    return [row() for _ in range(count)], [row() for _ in range(count)]


def test_accuracy_equals_manual_count() -> None:
    predictions, references = rows(200, 0)
    slices = {
        name: numerators.sum() / denominators.sum()
        for name, (numerators, denominators) in accuracy.row_statistics(predictions, references).items()
    }
    pairs = list(zip(predictions, references, strict=True))
    both = sum(prediction == reference for prediction, reference in pairs) / 200
    tense = sum(prediction[0] == reference[0] for prediction, reference in pairs) / 200
    person = sum(prediction[1] == reference[1] for prediction, reference in pairs) / 200
    assert slices == {"": both, "tense": tense, "person": person}


def test_single_class_has_one_slice() -> None:
    assert list(accuracy.row_statistics([["a"], ["b"]], [["a"], ["a"]])) == [""]


def test_different_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        accuracy.row_statistics([["a"]], [["a"], ["b"]])


def test_evaluate_loads_the_metric_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path))
    metric = evaluate.load(accuracy.__file__)
    predictions, references = rows(50, 1)
    scores = metric.compute(predictions=predictions, references=references)
    numerators, denominators = accuracy.row_statistics(predictions, references)[""]
    assert scores["accuracy"] == pytest.approx(numerators.sum() / denominators.sum())
