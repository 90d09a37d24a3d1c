from pathlib import Path

import evaluate
import jiwer
import pytest

from hfmm.metrics import transcription
from hfmm.metrics.transcripts import light

ROWS = [
    {"answers": ["He wrote.", "third person"], "kinds": ["transcribe", "person"]},
    {"answers": ["past simple"], "kinds": ["tense"]},
    {"answers": ["My sister will go."], "kinds": ["transcribe"]},
]
SAID = [["he write", "first person"], ["future simple"], ["My sister go."]]


def test_only_what_was_to_be_copied_counts_and_the_rate_is_that_of_jiwer() -> None:
    edits, characters = transcription.statistics(SAID, ROWS)[""]
    assert (edits.tolist(), characters.tolist()) == ([1, 0, 5], [8, 0, 17])
    true, said = ([light(rows[place][0]) for place in (0, 2)] for rows in ([one["answers"] for one in ROWS], SAID))
    assert edits.sum() / characters.sum() == pytest.approx(jiwer.cer(true, said))


def test_where_nothing_was_to_be_copied_there_is_no_score() -> None:
    assert transcription.statistics(SAID[1:2], ROWS[1:2]) == {}


def test_missing_answers_are_told_with_their_row() -> None:
    with pytest.raises(ValueError, match="row 1 has 0 answers given"):
        transcription.statistics([SAID[0], [], SAID[2]], ROWS)


def test_it_loads_by_path_without_hfmm() -> None:
    metric = evaluate.load(str(Path(transcription.__file__)))
    assert metric.compute(predictions=SAID, references=ROWS) == {"transcription": pytest.approx(6 / 25)}
