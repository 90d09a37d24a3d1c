import math

import pytest

from hfmm.errors import UserError
from hfmm.metrics import primary_score

LABELS = [["a"], ["b"], ["a"], ["a"]]
ANSWERS = [{"answers": ["went"], "kinds": ["conjugate"]}, {"answers": ["go"], "kinds": ["lemma"]}]
PREDICTIONS = [
    {"prediction": ["went"], "nats": [1.0], "tokens": [2]},
    {"prediction": ["went"], "nats": [2.0], "tokens": [1]},
]


def test_primary_score_of_row_statistics_is_the_ratio_of_sums() -> None:
    assert primary_score("accuracy", [["a"], ["b"], ["b"], ["b"]], LABELS) == 0.5


def test_primary_score_of_weighted_scores_uses_equal_weights() -> None:
    assert primary_score("perplexity", PREDICTIONS, ANSWERS) == pytest.approx(math.exp(3.0 / 3))


def test_metric_without_overall_score_is_an_error() -> None:
    with pytest.raises(UserError, match=r"metrics: confusion has no overall score.*put another metric first"):
        primary_score("confusion", LABELS, LABELS)


def test_rows_without_anything_to_measure_are_an_error() -> None:
    with pytest.raises(UserError, match=r"metrics: page_cer has no overall score .* no row contains"):
        primary_score("page_cer", PREDICTIONS, ANSWERS)
