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


def right(prediction: str, text: str, answer: str, verb: str) -> float:
    tops, bottoms = correction_accuracy.row_statistics(
        [[prediction]], [row(text, answer, verb, "form" if text != answer else "")]
    )[""]
    assert bottoms.tolist() == [1]
    return float(tops[0])


@pytest.mark.parametrize("kind", MISTAKE_KINDS)
def test_the_verb_comes_out_right_exactly_when_the_words_in_its_place_are_the_right_ones(kind: str) -> None:
    """The oracle is how the prediction was made: which verb was put into it, and which other words were misread."""
    generator = random.Random(kind)
    cells = [cell for cell in CELLS if mistakes(cell, kind)]  # type: ignore[arg-type]
    for cell in generator.sample(cells, 60):
        one = generator.choice(mistakes(cell, kind))  # type: ignore[arg-type]
        group = verb_group(one.right)
        before, _, after = with_verb_group(one.right, "|").partition("|")
        wrong_group = one.wrong.removeprefix(before).removesuffix(after)
        misread = f"{after.rpartition(' ')[0]} xylophones."
        for text, rest in product((one.wrong, one.right.text), (after, misread)):
            assert right(f"{before}{group}{rest}".upper(), text, one.right.text, group) == 1
            left_over = (f"{group} {wrong_group}",) if text == one.wrong else ()
            for other in (wrong_group, "jumps", f"{wrong_group} {group}", "", *left_over):
                prediction = f"{before}{other}{rest}"
                assert right(prediction, text, one.right.text, group) == 0, (prediction, one)


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
def test_a_sentence_is_marked_as_a_teacher_would(prediction: str, text: str, verb: str, expected: int) -> None:
    wrong = next((one for one in ("will go", "will put", "has went", "have had", "goed") if one in text), "")
    wrong = wrong or ("went" if verb == "will go" else verb)
    assert right(prediction, text, text.replace(wrong, verb), verb) == expected


def test_right_and_wrong_sentences_are_both_shown_and_other_questions_are_left_out() -> None:
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
    assert {name: (tops.tolist(), bottoms.tolist()) for name, (tops, bottoms) in slices.items()} == {
        "": ([1, 0, 0, 0], [1, 1, 1, 0]),
        "error: agreement": ([0, 0, 0, 0], [0, 1, 0, 0]),
        "error: inflection": ([1, 0, 0, 0], [1, 0, 0, 0]),
        "right sentences": ([0, 0, 0, 0], [0, 0, 1, 0]),
        "wrong sentences": ([1, 0, 0, 0], [1, 1, 0, 0]),
    }
    assert next(iter(slices)) == ""


def test_who_copies_has_every_right_sentence_and_no_wrong_one_and_who_always_changes_none() -> None:
    found = mistakes(VerbCell("write", "participle", "3sg"), "form")
    pairs = [(one.wrong, one.right.text, verb_group(one.right)) for one in found]
    references = [row(*one, "form") for one in pairs] + [row(answer, answer, verb) for _, answer, verb in pairs]
    copied = correction_accuracy.row_statistics([[one["text"]] for one in references], references)
    assert copied["right sentences"][0].sum() == copied["right sentences"][1].sum() == len(pairs)
    assert copied["wrong sentences"][0].sum() == 0
    changed = correction_accuracy.row_statistics([[wrong] for wrong, *_ in pairs] * 2, references)
    assert changed["right sentences"][0].sum() == 0


def test_without_a_sentence_to_correct_there_is_no_slice() -> None:
    assert correction_accuracy.row_statistics([["a"]], [row("", "a", "") | {"kinds": ["tense"]}]) == {}


def test_missing_answers_are_named_with_their_row() -> None:
    with pytest.raises(ValueError, match="row 0 has 2 answers given, 1 true ones"):
        correction_accuracy.row_statistics([["a", "b"]], [row("a", "a", "a")])


def test_evaluate_loads_it_by_path_without_network_and_without_hfmm(alone: Any) -> None:
    references = [row("He goed.", "He went.", "went", "inflection"), row("He ate.", "He ate.", "ate")]
    assert alone(correction_accuracy, [["he went"], ["he eats"]], references) == {
        "correction": 0.5,
        "correction error: inflection": 1.0,
        "correction right sentences": 0.0,
        "correction wrong sentences": 1.0,
    }
