import math

import pytest

from hfmm.errors import UserError
from hfmm.metrics import primary_score

LABELS = [["a"], ["b"], ["a"], ["a"]]
TALK = [{"answers": ["went"], "kinds": ["conjugate"]}, {"answers": ["go"], "kinds": ["lemma"]}]
SAID = [{"prediction": ["went"], "nats": [1.0], "tokens": [2]}, {"prediction": ["went"], "nats": [2.0], "tokens": [1]}]


def test_it_is_the_quotient_of_sums_of_a_metric_that_has_one() -> None:
    assert primary_score("accuracy", [["a"], ["b"], ["b"], ["b"]], LABELS) == 0.5


def test_a_metric_that_is_no_quotient_is_taken_with_each_row_once() -> None:
    assert primary_score("perplexity", SAID, TALK) == pytest.approx(math.exp(3.0 / 3))


def test_a_metric_without_one_score_is_told_by_name() -> None:
    with pytest.raises(UserError, match=r"metrics: confusion gives no one score.*put another there"):
        primary_score("confusion", LABELS, LABELS)


def test_rows_that_hold_nothing_of_a_metric_are_told() -> None:
    with pytest.raises(UserError, match=r"metrics: page_cer gives no one score .* hold nothing"):
        primary_score("page_cer", SAID, TALK)
