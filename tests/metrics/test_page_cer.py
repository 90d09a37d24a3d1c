from pathlib import Path

import evaluate
import jiwer
import pytest

from hfmm.metrics import page_cer
from hfmm.metrics._edit_rates import normalize_words

ROWS = [
    {"answers": ["He wrote.", "third person"], "kinds": ["transcribe", "person"]},
    {"answers": ["past simple"], "kinds": ["tense"]},
    {"answers": ["My sister will go."], "kinds": ["transcribe"]},
]
PREDICTIONS = [["he write", "first person"], ["future simple"], ["My sister go."]]


def test_only_transcriptions_count_and_the_rate_equals_jiwer() -> None:
    edits, characters = page_cer.row_statistics(PREDICTIONS, ROWS)[""]
    assert (edits.tolist(), characters.tolist()) == ([1, 0, 5], [8, 0, 17])
    references, predictions = (
        [normalize_words(rows[index][0]) for index in (0, 2)]
        for rows in ([row["answers"] for row in ROWS], PREDICTIONS)
    )
    assert edits.sum() / characters.sum() == pytest.approx(jiwer.cer(references, predictions))


def test_rows_without_transcriptions_have_no_score() -> None:
    assert page_cer.row_statistics(PREDICTIONS[1:2], ROWS[1:2]) == {}


def test_missing_answers_are_reported_with_their_row() -> None:
    with pytest.raises(ValueError, match="row 1 has 0 predicted answers"):
        page_cer.row_statistics([PREDICTIONS[0], [], PREDICTIONS[2]], ROWS)


def test_evaluate_loads_the_metric_by_path() -> None:
    metric = evaluate.load(str(Path(page_cer.__file__)))
    assert metric.compute(predictions=PREDICTIONS, references=ROWS) == {"page_cer": pytest.approx(6 / 25)}
