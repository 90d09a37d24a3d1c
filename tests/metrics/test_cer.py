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


def fewest_edits(true: str, said: str) -> int:
    """Wagner and Fischer's table, a line at a time."""
    line = list(range(len(said) + 1))
    for row, one in enumerate(true, 1):
        above, line = line, [row]
        for column, other in enumerate(said, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (one != other)))
    return line[-1]


@pytest.mark.parametrize("seed", range(3))
def test_edits_equal_the_definition_and_the_rate_that_of_jiwer(seed: int) -> None:
    predictions, references = texts(80, seed), texts(80, seed + 10)
    predictions, references = ([" ".join(text.split()) for text in part] for part in (predictions, references))
    edits, characters = cer.row_statistics(predictions, rows(references))["raw"]
    assert edits.tolist() == [fewest_edits(*pair) for pair in zip(references, predictions, strict=True)]
    assert characters.tolist() == [len(text) for text in references]
    assert edits.sum() / characters.sum() == pytest.approx(jiwer.cer(references, predictions))


@pytest.mark.parametrize(
    ("prediction", "reference", "edits", "characters"),
    [("", "go", 2, 2), ("go", "", 2, 0), ("hegoes", "He goes.", 1, 7), (" he  goes", "he goes", 0, 7)],
)
def test_a_row_is_counted_by_definition(prediction: str, reference: str, edits: int, characters: int) -> None:
    tops, bottoms = cer.row_statistics([prediction, "a"], rows([reference, "a"]))[""]
    assert (tops[0], bottoms[0]) == (edits, characters)


def test_case_and_punctuation_count_in_the_raw_slice_alone() -> None:
    slices = cer.row_statistics(["he's"], rows(["He's."]))
    assert {name: tops.sum() for name, (tops, _) in slices.items()} == {"": 0, "raw": 2, "Whisper-normalised": 0}


def test_evaluate_loads_it_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path))
    scores = evaluate.load(cer.__file__).compute(predictions=["he work"], references=["he works"])
    assert scores == {"cer": 1 / 8, "cer_raw": 1 / 8, "cer_Whisper-normalised": 1 / 8}
