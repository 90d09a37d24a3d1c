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
SAID = [["he write", "first person"], ["future simple"], ["My sister go."]]


def test_only_what_was_to_be_copied_counts_and_the_rate_is_that_of_jiwer() -> None:
    edits, characters = page_cer.row_statistics(SAID, ROWS)[""]
    assert (edits.tolist(), characters.tolist()) == ([1, 0, 5], [8, 0, 17])
    true, said = (
        [normalize_words(rows[place][0]) for place in (0, 2)] for rows in ([one["answers"] for one in ROWS], SAID)
    )
    assert edits.sum() / characters.sum() == pytest.approx(jiwer.cer(true, said))


def test_where_nothing_was_to_be_copied_there_is_no_score() -> None:
    assert page_cer.row_statistics(SAID[1:2], ROWS[1:2]) == {}


def test_missing_answers_are_told_with_their_row() -> None:
    with pytest.raises(ValueError, match="row 1 has 0 answers given"):
        page_cer.row_statistics([SAID[0], [], SAID[2]], ROWS)


def test_it_loads_by_path_without_hfmm() -> None:
    metric = evaluate.load(str(Path(page_cer.__file__)))
    assert metric.compute(predictions=SAID, references=ROWS) == {"transcription": pytest.approx(6 / 25)}
