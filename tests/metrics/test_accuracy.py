import random
from pathlib import Path

import pytest

from hfmm.metrics import accuracy


def rows(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    generator = random.Random(seed)

    def row() -> list[str]:
        return [f"tense: {generator.choice('ab')}", f"person: {generator.choice('xyz')}"]

    return [row() for _ in range(count)], [row() for _ in range(count)]


def test_it_equals_counting_by_hand() -> None:
    predictions, references = rows(200, 0)
    slices = {
        name: top.sum() / bottom.sum()
        for name, (top, bottom) in accuracy.row_statistics(predictions, references).items()
    }
    both = sum(p == r for p, r in zip(predictions, references, strict=True)) / 200
    tense = sum(p[0] == r[0] for p, r in zip(predictions, references, strict=True)) / 200
    person = sum(p[1] == r[1] for p, r in zip(predictions, references, strict=True)) / 200
    assert slices == {"": both, "tense": tense, "person": person}


def test_a_single_class_has_one_slice() -> None:
    assert list(accuracy.row_statistics([["a"], ["b"]], [["a"], ["a"]])) == [""]


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        accuracy.row_statistics([["a"]], [["a"], ["b"]])


def test_evaluate_loads_it_by_path_and_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path))
    metric = evaluate.load(accuracy.__file__)
    predictions, references = rows(50, 1)
    scores = metric.compute(predictions=predictions, references=references)
    top, bottom = accuracy.row_statistics(predictions, references)[""]
    assert scores["accuracy"] == pytest.approx(top.sum() / bottom.sum())
