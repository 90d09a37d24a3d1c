import random
from typing import Any

import numpy as np
import pytest

from hfmm.metrics import exact_match, token_f1

KINDS = ("tense", "judge", "correct")
ANSWERS = ("yes", "Yes.", " yes", "no", "past simple", "Past simple!", "She goes.", "she goes", "she  goes", "")
EQUIVALENT = ({"yes", "Yes.", " yes"}, {"past simple", "Past simple!"}, {"She goes.", "she goes"})


def rows(count: int, seed: int) -> tuple[list[list[str]], list[dict[str, Any]]]:
    generator = random.Random(seed)
    lengths = [generator.randint(1, 3) for _ in range(count)]
    predictions = [generator.choices(ANSWERS, k=length) for length in lengths]
    references = [
        {"answers": generator.choices(ANSWERS, k=length), "kinds": generator.choices(KINDS, k=length)}
        for length in lengths
    ]
    return predictions, references


@pytest.mark.parametrize("seed", range(3))
def test_matches_equal_table_lookup(seed: int) -> None:
    predictions, references = rows(100, seed)
    slices = exact_match.row_statistics(predictions, references)
    assert set(slices) == {"", *KINDS}
    for name, (numerators, denominators) in slices.items():
        for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
            pairs = [
                {predicted_answer, answer}
                for predicted_answer, answer, kind in zip(
                    prediction, reference["answers"], reference["kinds"], strict=True
                )
                if name in ("", kind)
            ]
            matches = [len(pair) == 1 or any(pair <= group for group in EQUIVALENT) for pair in pairs]
            assert denominators[row] == len(pairs)
            assert numerators[row] == sum(matches)


@pytest.mark.parametrize(
    ("prediction", "answer", "is_match"),
    [
        ("YES", "yes", True),
        ("\n yes. \n", "yes", True),
        ("She goes?!", "she goes.", True),
        ("she's", "shes", False),
        ("she, goes", "she goes", False),
        ("yes no", "yes", False),
        ("", "yes", False),
        ("...", "yes", False),
    ],
)
def test_only_case_outer_whitespace_and_final_punctuation_are_ignored(
    prediction: str, answer: str, is_match: bool
) -> None:
    assert exact_match.row_statistics([[prediction]], [{"answers": [answer]}])[""][0].sum() == is_match


def test_answers_without_kinds_have_one_slice() -> None:
    assert list(exact_match.row_statistics([["a", "b"]], [{"answers": ["a", "c"]}])) == [""]


def test_overall_slice_comes_first() -> None:
    assert next(iter(exact_match.row_statistics(*rows(20, 0)))) == ""


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([["a"]], [], "1 predictions for 0 references"),
        (
            [["a"], ["a"]],
            [{"answers": ["a"]}, {"answers": ["a", "b"]}],
            "row 1 has 1 predicted answers, 2 reference answers",
        ),
        ([["a"]], [{"answers": ["a"], "kinds": ["x", "y"]}], "row 0 .* 2 kinds"),
    ],
)
def test_missing_answers_are_reported_with_their_row(predictions: Any, references: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exact_match.row_statistics(predictions, references)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (exact_match, {"exact_match": 2 / 3, "exact_match_judge": 1, "exact_match_tense": 0}),
        (token_f1, {"token_f1": 8 / 9, "token_f1_judge": 1, "token_f1_tense": 2 / 3}),
    ],
)
def test_evaluate_loads_the_metric_by_path_offline_without_hfmm(
    metric: Any, expected: dict[str, float], compute_offline: Any
) -> None:
    references = [
        {"answers": ["yes", "past simple"], "kinds": ["judge", "tense"]},
        {"answers": ["no"], "kinds": ["judge"]},
    ]
    assert compute_offline(metric, [["Yes.", "past"], ["no"]], references) == pytest.approx(expected)


def test_every_kind_has_a_bootstrap_interval() -> None:
    from hfmm.evaluation.bootstrap import bootstrap_ci

    predictions, references = rows(60, 1)
    for numerators, denominators in exact_match.row_statistics(predictions, references).values():
        low, high = bootstrap_ci(numerators, denominators, [str(row % 20) for row in range(60)])
        assert np.isfinite([low, high]).all()
        assert low <= numerators.sum() / denominators.sum() <= high
