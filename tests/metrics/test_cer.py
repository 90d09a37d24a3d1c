import random
from pathlib import Path

import evaluate
import jiwer
import pytest

from hfmm.metrics import cer


def texts(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices("abc ", k=generator.randint(1, 12))).strip() or "a" for _ in range(count)]


def rows(references: list[str]) -> list[dict[str, str]]:
    return [{"text": text} for text in references]


def edit_distance(reference: str, prediction: str) -> int:
    """Return the edit distance by the Wagner-Fischer algorithm, row by row."""
    current = list(range(len(prediction) + 1))
    for row, reference_char in enumerate(reference, 1):
        previous, current = current, [row]
        for column, predicted_char in enumerate(prediction, 1):
            substitution = previous[column - 1] + (reference_char != predicted_char)
            current.append(min(previous[column] + 1, current[-1] + 1, substitution))
    return current[-1]


@pytest.mark.parametrize("seed", range(3))
def test_edits_equal_edit_distance_and_rate_equals_jiwer(seed: int) -> None:
    predictions, references = texts(80, seed), texts(80, seed + 10)
    predictions, references = ([" ".join(text.split()) for text in part] for part in (predictions, references))
    edits, characters = cer.row_statistics(predictions, rows(references))["raw"]
    assert edits.tolist() == [edit_distance(*pair) for pair in zip(references, predictions, strict=True)]
    assert characters.tolist() == [len(text) for text in references]
    assert edits.sum() / characters.sum() == pytest.approx(jiwer.cer(references, predictions))


@pytest.mark.parametrize(
    ("prediction", "reference", "edits", "characters"),
    [("", "go", 2, 2), ("go", "", 2, 0), ("hegoes", "He goes.", 1, 7), (" he  goes", "he goes", 0, 7)],
)
def test_edits_and_characters_of_a_row(prediction: str, reference: str, edits: int, characters: int) -> None:
    numerators, denominators = cer.row_statistics([prediction, "a"], rows([reference, "a"]))[""]
    assert (numerators[0], denominators[0]) == (edits, characters)


def test_case_and_punctuation_count_only_in_the_raw_slice() -> None:
    slices = cer.row_statistics(["he's"], rows(["He's."]))
    assert {name: edits.sum() for name, (edits, _) in slices.items()} == {"": 0, "raw": 2, "Whisper-normalised": 0}


def test_evaluate_loads_the_metric_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path))
    scores = evaluate.load(cer.__file__).compute(predictions=["he work"], references=["he works"])
    assert scores == {"cer": 1 / 8, "cer_raw": 1 / 8, "cer_Whisper-normalised": 1 / 8}
