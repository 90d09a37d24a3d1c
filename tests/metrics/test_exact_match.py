import random
from typing import Any

import numpy as np
import pytest

from hfmm.metrics import exact_match, token_f1

KINDS = ("tense", "judge", "correct")
ANSWERS = ("yes", "Yes.", " yes", "no", "past simple", "Past simple!", "She goes.", "she goes", "she  goes", "")
SAME = ({"yes", "Yes.", " yes"}, {"past simple", "Past simple!"}, {"She goes.", "she goes"})


def rows(count: int, seed: int) -> tuple[list[list[str]], list[dict[str, Any]]]:
    generator = random.Random(seed)
    lengths = [generator.randint(1, 3) for _ in range(count)]
    given = [generator.choices(ANSWERS, k=length) for length in lengths]
    true = [
        {"answers": generator.choices(ANSWERS, k=length), "kinds": generator.choices(KINDS, k=length)}
        for length in lengths
    ]
    return given, true


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_looking_each_pair_up_in_a_table(seed: int) -> None:
    given, true = rows(100, seed)
    slices = exact_match.row_statistics(given, true)
    assert set(slices) == {"", *KINDS}
    for name, (tops, bottoms) in slices.items():
        for row, (answers, reference) in enumerate(zip(given, true, strict=True)):
            pairs = [
                {answer, right}
                for answer, right, kind in zip(answers, reference["answers"], reference["kinds"], strict=True)
                if name in ("", kind)
            ]
            assert bottoms[row] == len(pairs)
            assert tops[row] == sum(len(pair) == 1 or any(pair <= same for same in SAME) for pair in pairs)


@pytest.mark.parametrize(
    ("given", "true", "same"),
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
def test_case_outer_whitespace_and_final_punctuation_alone_do_not_count(given: str, true: str, same: bool) -> None:
    assert exact_match.row_statistics([[given]], [{"answers": [true]}])[""][0].sum() == same


def test_without_kinds_there_is_one_slice() -> None:
    assert list(exact_match.row_statistics([["a", "b"]], [{"answers": ["a", "c"]}])) == [""]


def test_the_headline_comes_first() -> None:
    assert next(iter(exact_match.row_statistics(*rows(20, 0)))) == ""


@pytest.mark.parametrize(
    ("given", "true", "message"),
    [
        ([["a"]], [], "1 predictions for 0 references"),
        ([["a"], ["a"]], [{"answers": ["a"]}, {"answers": ["a", "b"]}], "row 1 has 1 answers given, 2 true ones"),
        ([["a"]], [{"answers": ["a"], "kinds": ["x", "y"]}], "row 0 .* 2 kinds"),
    ],
)
def test_missing_answers_are_named_with_their_row(given: Any, true: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exact_match.row_statistics(given, true)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (exact_match, {"exact_match": 2 / 3, "exact_match_judge": 1, "exact_match_tense": 0}),
        (token_f1, {"token_f1": 8 / 9, "token_f1_judge": 1, "token_f1_tense": 2 / 3}),
    ],
)
def test_evaluate_loads_it_by_path_without_network_and_without_hfmm(
    metric: Any, expected: dict[str, float], alone: Any
) -> None:
    references = [
        {"answers": ["yes", "past simple"], "kinds": ["judge", "tense"]},
        {"answers": ["no"], "kinds": ["judge"]},
    ]
    assert alone(metric, [["Yes.", "past"], ["no"]], references) == pytest.approx(expected)


def test_intervals_can_be_drawn_for_every_kind() -> None:
    from hfmm.evaluation.bootstrap import bootstrap_ci

    given, true = rows(60, 1)
    for tops, bottoms in exact_match.row_statistics(given, true).values():
        low, high = bootstrap_ci(tops, bottoms, [str(row % 20) for row in range(60)])
        assert np.isfinite([low, high]).all()
        assert low <= tops.sum() / bottoms.sum() <= high
