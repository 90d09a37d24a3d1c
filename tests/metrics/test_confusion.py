import random

import pytest

from hfmm.metrics import confusion


def test_matrix_and_recalls_equal_manual_count() -> None:
    generator = random.Random(0)
    references = [[f"tense: {generator.choice('abc')}"] for _ in range(100)]
    predictions = [[f"tense: {generator.choice('abc')}"] for _ in range(100)]
    counts, names = confusion.matrix(predictions, references, "tense")
    for row, reference_name in enumerate(names):
        for column, predicted_name in enumerate(names):
            expected = sum(
                reference == [f"tense: {reference_name}"] and prediction == [f"tense: {predicted_name}"]
                for prediction, reference in zip(predictions, references, strict=True)
            )
            assert counts[row, column] == expected
    recalls = {
        name: numerators.sum() / denominators.sum()
        for name, (numerators, denominators) in confusion.row_statistics(predictions, references).items()
    }
    for row, name in enumerate(names):
        assert recalls[f"tense: {name}"] == pytest.approx(counts[row, row] / counts[row].sum())


def test_class_without_references_has_a_column() -> None:
    counts, names = confusion.matrix([["b"]], [["a"]], "")
    assert names == ["a", "b"]
    assert counts.tolist() == [[0, 1], [0, 0]]


def test_evaluate_loads_the_metric_by_path() -> None:
    import evaluate

    scores = evaluate.load(confusion.__file__).compute(predictions=[["a"], ["b"]], references=[["a"], ["a"]])
    assert scores == {"recall a": 0.5}
