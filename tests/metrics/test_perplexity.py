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
PREDICTIONS = [
    {"prediction": ["past simple", "do"], "nats": [0.0, 3.0], "tokens": [2.0, 1.0]},
    {"prediction": ["infinitive"], "nats": [math.log(4)], "tokens": [1.0]},
]


def test_perplexity_is_the_exponential_of_the_mean_token_loss() -> None:
    scores = {name: score(np.ones(2)) for name, score in perplexity.weighted_scores(PREDICTIONS, ROWS).items()}
    assert scores == {
        "": pytest.approx(math.exp((3 + math.log(4)) / 4)),
        "tense": pytest.approx(4 ** (1 / 3)),
        "lemma": pytest.approx(math.exp(3)),
    }


def test_perplexity_of_uniform_choices_is_their_number() -> None:
    for num_choices in (1, 7):
        predictions = [{"prediction": ["x"], "nats": [5 * math.log(num_choices)], "tokens": [5.0]}]
        references = [{"answers": ["x"], "kinds": ["tense"]}]
        score = perplexity.weighted_scores(predictions, references)[""]
        assert score(np.ones(1)) == pytest.approx(num_choices)


def test_row_weights_are_used_and_zero_weights_give_nan() -> None:
    score = perplexity.weighted_scores(PREDICTIONS, ROWS)["tense"]
    assert score(np.array([0.0, 2.0])) == pytest.approx(4)
    assert math.isnan(score(np.zeros(2)))
    assert math.isnan(perplexity.weighted_scores(PREDICTIONS, ROWS)["lemma"](np.array([0.0, 1.0])))


def test_evaluate_loads_the_metric_by_path() -> None:
    metric = evaluate.load(str(Path(perplexity.__file__)))
    scores = metric.compute(predictions=PREDICTIONS, references=ROWS)
    assert scores["perplexity_lemma"] == pytest.approx(math.exp(3)) and set(scores) == {
        "perplexity", "perplexity_lemma", "perplexity_tense",
    }  # fmt: skip
