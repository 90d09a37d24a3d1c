import math
from pathlib import Path

import evaluate
import numpy as np
import pytest

from hfmm.metrics import perplexity

ROWS = [
    {"answers": ["past simple", "go"], "kinds": ["tense", "lemma"]},
    {"answers": ["infinitive"], "kinds": ["tense"]},
]
SAID = [
    {"prediction": ["past simple", "do"], "nats": [0.0, 3.0], "tokens": [2.0, 1.0]},
    {"prediction": ["infinitive"], "nats": [math.log(4)], "tokens": [1.0]},
]


def test_it_is_the_exponential_of_the_mean_surprise_of_a_token() -> None:
    found = {name: score(np.ones(2)) for name, score in perplexity.weighted_scores(SAID, ROWS).items()}
    assert found == {
        "": pytest.approx(math.exp((3 + math.log(4)) / 4)),
        "tense": pytest.approx(4 ** (1 / 3)),
        "lemma": pytest.approx(math.exp(3)),
    }


def test_certain_answers_have_perplexity_one_and_even_chances_as_many_as_there_are() -> None:
    for chances in (1, 7):
        said = [{"prediction": ["x"], "nats": [5 * math.log(chances)], "tokens": [5.0]}]
        rows = [{"answers": ["x"], "kinds": ["tense"]}]
        assert perplexity.weighted_scores(said, rows)[""](np.ones(1)) == pytest.approx(chances)


def test_rows_weigh_as_often_as_they_are_drawn_and_none_is_no_number() -> None:
    score = perplexity.weighted_scores(SAID, ROWS)["tense"]
    assert score(np.array([0.0, 2.0])) == pytest.approx(4)
    assert math.isnan(score(np.zeros(2)))
    assert math.isnan(perplexity.weighted_scores(SAID, ROWS)["lemma"](np.array([0.0, 1.0])))


def test_it_loads_by_path_without_hfmm() -> None:
    metric = evaluate.load(str(Path(perplexity.__file__)))
    found = metric.compute(predictions=SAID, references=ROWS)
    assert found["perplexity_lemma"] == pytest.approx(math.exp(3)) and set(found) == {
        "perplexity", "perplexity_lemma", "perplexity_tense",
    }  # fmt: skip
