import random
from itertools import product
from typing import Any

import pytest

from hfmm.grammar import CELLS, VerbCell
from hfmm.grammar.mistakes import MISTAKE_KINDS, mistakes
from hfmm.grammar.sentences import verb_group, with_verb_group
from hfmm.metrics import correction_accuracy


def row(text: str, answer: str, verb: str, error: str = "") -> dict[str, Any]:
    return {"text": text, "verb": verb, "answers": [answer], "kinds": ["correct"], "error": error}


def score(prediction: str, text: str, answer: str, verb: str) -> float:
    numerators, denominators = correction_accuracy.row_statistics(
        [[prediction]], [row(text, answer, verb, "form" if text != answer else "")]
    )[""]
    assert denominators.tolist() == [1]
    return float(numerators[0])


@pytest.mark.parametrize("kind", MISTAKE_KINDS)
def test_generated_prediction_scores_one_only_with_the_correct_verb(kind: str) -> None:
    """The expected score follows from the construction of the prediction: which verb it has and which words differ."""
    generator = random.Random(kind)
    cells = [cell for cell in CELLS if mistakes(cell, kind)]  # type: ignore[arg-type]
    for cell in generator.sample(cells, 60):
        mistake = generator.choice(mistakes(cell, kind))  # type: ignore[arg-type]
        answer, group = mistake.right.text, verb_group(mistake.right)
        before, _, after = with_verb_group(mistake.right, "|").partition("|")
        wrong_group = mistake.wrong.removeprefix(before).removesuffix(after)
        misread = f"{after.rpartition(' ')[0]} xylophones."
        for text, rest in product((mistake.wrong, answer), (after, misread)):
            assert score(f"{before}{group}{rest}".upper(), text, answer, group) == 1
            repeated = (f"{group} {wrong_group}",) if text == mistake.wrong else ()
            for predicted_group in (wrong_group, "jumps", f"{wrong_group} {group}", "", *repeated):
                prediction = f"{before}{predicted_group}{rest}"
                assert score(prediction, text, answer, group) == 0, (prediction, mistake)


@pytest.mark.parametrize(
    ("prediction", "text", "verb", "expected"),
    [
        ("He went home.", "He goed home.", "went", 1),
        ("he went to school", "He goed home.", "went", 1),
        ("Oh, he went home!", "He goed home.", "went", 1),
        ("He goed home.", "He goed home.", "went", 0),
        ("He went goed home.", "He goed home.", "went", 0),
        ("Last week he will went home.", "Last week he will go home.", "went", 0),
        ("Last week he went home.", "Last week he will go home.", "went", 1),
        ("Next week he will go home.", "Next week he went home.", "will go", 1),
        ("Next week he will went home.", "Next week he went home.", "will go", 0),
        ("Last week he put it down.", "Last week he will put it down.", "put", 1),
        ("Last week he will put it down.", "Last week he will put it down.", "put", 0),
        ("", "Last week he will put it down.", "put", 0),
        ("He has.", "He has went.", "has gone", 0),
        ("He has had had a car.", "He have had a car.", "has had", 0),
        ("He has had a cat.", "He have had a car.", "has had", 1),
        ("He went home", "He went home.", "went", 1),
        ("He goes home.", "He went home.", "went", 0),
        ("He went to school.", "He went home.", "went", 1),
        ("", "He went home.", "went", 0),
    ],
)
def test_sentence_score(prediction: str, text: str, verb: str, expected: int) -> None:
    wrong_groups = ("will go", "will put", "has went", "have had", "goed")
    wrong_group = next((group for group in wrong_groups if group in text), "")
    wrong_group = wrong_group or ("went" if verb == "will go" else verb)
    assert score(prediction, text, text.replace(wrong_group, verb), verb) == expected


def test_slices_count_only_correction_questions() -> None:
    references = [
        row("He goed home.", "He went home.", "went", "inflection"),
        row("I has a car.", "I have a car.", "have", "agreement"),
        row("He ate.", "He ate.", "ate"),
        row("He ate.", "He ate.", "ate") | {"kinds": ["transcribe"]},
    ]
    references[0] |= {"answers": ["no", "He went home."], "kinds": ["judge", "correct"]}
    slices = correction_accuracy.row_statistics(
        [["yes", "He went home."], ["I has a car."], ["He eats."], ["He eats."]], references
    )
    assert {
        name: (numerators.tolist(), denominators.tolist()) for name, (numerators, denominators) in slices.items()
    } == {
        "": ([1, 0, 0, 0], [1, 1, 1, 0]),
        "error: agreement": ([0, 0, 0, 0], [0, 1, 0, 0]),
        "error: inflection": ([1, 0, 0, 0], [1, 0, 0, 0]),
        "right sentences": ([0, 0, 0, 0], [0, 0, 1, 0]),
        "wrong sentences": ([1, 0, 0, 0], [1, 1, 0, 0]),
    }
    assert next(iter(slices)) == ""


def test_copying_solves_only_correct_sentences() -> None:
    forms = mistakes(VerbCell("write", "participle", "3sg"), "form")
    triples = [(mistake.wrong, mistake.right.text, verb_group(mistake.right)) for mistake in forms]
    references = [row(*triple, "form") for triple in triples]
    references += [row(answer, answer, verb) for _, answer, verb in triples]
    copied = correction_accuracy.row_statistics([[reference["text"]] for reference in references], references)
    assert copied["right sentences"][0].sum() == copied["right sentences"][1].sum() == len(triples)
    assert copied["wrong sentences"][0].sum() == 0
    changed = correction_accuracy.row_statistics([[wrong] for wrong, *_ in triples] * 2, references)
    assert changed["right sentences"][0].sum() == 0


def test_rows_without_correction_questions_have_no_slice() -> None:
    assert correction_accuracy.row_statistics([["a"]], [row("", "a", "") | {"kinds": ["tense"]}]) == {}


def test_missing_answers_are_reported_with_their_row() -> None:
    with pytest.raises(ValueError, match="row 0 has 2 predicted answers, 1 reference answers"):
        correction_accuracy.row_statistics([["a", "b"]], [row("a", "a", "a")])


def test_evaluate_loads_the_metric_by_path_offline_without_hfmm(compute_offline: Any) -> None:
    references = [row("He goed.", "He went.", "went", "inflection"), row("He ate.", "He ate.", "ate")]
    assert compute_offline(correction_accuracy, [["he went"], ["he eats"]], references) == {
        "correction_accuracy": 0.5,
        "correction_accuracy error: inflection": 1.0,
        "correction_accuracy right sentences": 0.0,
        "correction_accuracy wrong sentences": 1.0,
    }
