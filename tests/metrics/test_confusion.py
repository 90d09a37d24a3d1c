import random

import pytest

from hfmm.metrics import confusion


def test_the_matrix_equals_counting_by_hand() -> None:
    generator = random.Random(0)
    references = [[f"tense: {generator.choice('abc')}"] for _ in range(100)]
    predictions = [[f"tense: {generator.choice('abc')}"] for _ in range(100)]
    counts, names = confusion.matrix(predictions, references, "tense")
    for row, true in enumerate(names):
        for column, said in enumerate(names):
            by_hand = sum(
                r == [f"tense: {true}"] and p == [f"tense: {said}"]
                for p, r in zip(predictions, references, strict=True)
            )
            assert counts[row, column] == by_hand
    recalls = {
        name: top.sum() / bottom.sum()
        for name, (top, bottom) in confusion.row_statistics(predictions, references).items()
    }
    for row, name in enumerate(names):
        assert recalls[f"tense: {name}"] == pytest.approx(counts[row, row] / counts[row].sum())


def test_a_class_that_is_only_predicted_has_a_column() -> None:
    counts, names = confusion.matrix([["b"]], [["a"]], "")
    assert names == ["a", "b"]
    assert counts.tolist() == [[0, 1], [0, 0]]


def test_evaluate_loads_it_by_path() -> None:
    import evaluate

    scores = evaluate.load(confusion.__file__).compute(predictions=[["a"], ["b"]], references=[["a"], ["a"]])
    assert scores == {"recall a": 0.5}
