from typing import Any

import numpy as np
import pytest

from hfmm.grammar import LEMMAS, Person, Tense, parse, surface_form
from hfmm.metrics import verb_form

SUBJECTS: dict[Person, str] = {"1sg": "I", "2sg": "you", "3sg": "she"}
FINITE: tuple[Tense, ...] = ("present", "past", "participle", "future")


def row(text: str) -> dict[str, Any]:
    return {"text": text, "readings": [one._asdict() for one in parse(text)]}


def heard(prediction: str, text: str) -> tuple[float, float]:
    tops, bottoms = verb_form.row_statistics([prediction], [row(text)])[""]
    return tops[0], bottoms[0]


def taken_for(prediction: str, text: str) -> tuple[str, str, str, str]:
    ((true, said, times, form, words),) = verb_form.confusions([prediction], [row(text)], parse)
    assert times == 1
    return true, said, form, words


def form(lemma: str, tense: Tense, person: Person) -> str:
    perfect = surface_form("have", "present", person) if tense == "participle" else ""
    return f"{perfect} {surface_form(lemma, tense, person)}".strip()


@pytest.mark.parametrize("person", SUBJECTS)
@pytest.mark.parametrize("lemma", LEMMAS)
def test_one_form_in_place_of_another_is_the_confusion_of_their_cells(lemma: str, person: Person) -> None:
    """The oracle is the grid itself: what was said and what was heard are both drawn from it."""
    forms = {tense: form(lemma, tense, person) for tense in FINITE}
    for true, said in forms.items():
        for tense, words in forms.items():
            text, prediction = (f"{SUBJECTS[person]} {one} a lot." for one in (said, words))
            assert heard(prediction, text) == (said == words, 1)
            if said != words:
                name, other, *shown = taken_for(prediction, text)
                assert f"{true} {person}" == name or true in name.split()[0].split("/")
                assert f"{tense} {person}" == other or list(forms.values()).count(words) > 1
                assert shown == [said, words]


@pytest.mark.parametrize(
    ("prediction", "text", "right"),
    [
        ("He has never worked", "he has never worked.", 1),
        ("he has worked", "He has never worked.", 0),
        ("he has always worked", "He has worked.", 0),
        ("oh well he has worked a little", "He has worked.", 1),
        ("he'll go home", "He’ll go home.", 1),
        ("he will go home", "He’ll go home.", 0),
        ("he walked", "He's walked.", 0),
        ("she has had a pen", "She has a pen.", 0),
        ("she has the pen", "She has a pen.", 1),
        ("", "She works.", 0),
    ],
)
def test_a_form_is_heard_with_its_auxiliaries_or_not_at_all(prediction: str, text: str, right: int) -> None:
    assert heard(prediction, text) == (right, 1)


@pytest.mark.parametrize(
    ("prediction", "text", "expected"),
    [
        ("she work hard", "She works hard.", ("present 3sg", "present 1sg/2sg", "works", "work")),
        ("I has worked", "I worked.", ("past 1sg", "participle 3sg", "worked", "has worked")),
        ("he'll go home", "He went home.", ("past 3sg", "future 3sg", "went", "he'll go")),
        ("he will go home", "He went home.", ("past 3sg", "future 3sg", "went", "will go")),
        ("she had eaten", "She has eaten.", ("participle 3sg", "participle 3sg", "has eaten", "had eaten")),
        ("he worked", "He works to live.", None),
        ("he has said", "He has.", ("present 3sg", "another word", "has", "has said")),
        ("she has eaten", "She has written.", ("participle 3sg", "another word", "has written", "has eaten")),
        ("", "She has written.", ("participle 3sg", "nothing", "has written", "")),
    ],
)
def test_what_a_form_was_taken_for_is_named(prediction: str, text: str, expected: tuple[str, ...] | None) -> None:
    if expected:
        assert taken_for(prediction, text) == expected
    else:
        names = {one[:2] for one in verb_form.confusions([prediction], [row(text)], parse)}
        assert names == {("present 3sg", "past 3sg"), ("infinitive", "nothing")}


def test_slices_are_counted_by_hand() -> None:
    texts = ["She works to live.", "I have worked.", "Walked.", "The table."]
    predictions = ["she worked to live", "I have worked", "walk", "the tables"]
    slices = verb_form.row_statistics(predictions, [row(text) for text in texts])
    assert {name: (tops.tolist(), bottoms.tolist()) for name, (tops, bottoms) in slices.items()} == {
        "": ([1, 1, 0, 0], [2, 1, 1, 0]),
        "person: 1sg": ([0, 1, 0, 0], [0, 1, 0, 0]),
        "person: 3sg": ([0, 0, 0, 0], [1, 0, 0, 0]),
        "tense: infinitive": ([1, 0, 0, 0], [1, 0, 0, 0]),
        "tense: participle": ([0, 1, 0, 0], [0, 1, 0, 0]),
        "tense: present": ([0, 0, 0, 0], [1, 0, 0, 0]),
    }
    assert next(iter(slices)) == ""


def test_confusions_are_the_misses_and_the_most_frequent_comes_first() -> None:
    texts = ["She works.", "He works.", "You went.", "I go."]
    predictions = ["she worked", "he worked", "you go", "I go"]
    references = [row(text) for text in texts]
    found = verb_form.confusions(predictions, references, parse)
    assert [one[:3] for one in found] == [("present 3sg", "past 3sg", 2), ("past 2sg", "present 2sg", 1)]
    tops, bottoms = verb_form.row_statistics(predictions, references)[""]
    assert sum(one.times for one in found) == np.sum(bottoms - tops)


def test_references_without_a_verb_form_have_no_slice() -> None:
    assert verb_form.row_statistics(["the table"], [row("the table")]) == {}
    assert verb_form.confusions(["the table"], [row("the table")], parse) == []


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        verb_form.row_statistics(["a"], [row("a"), row("b")])


def test_evaluate_loads_it_by_path_without_network_and_without_hfmm(alone: Any) -> None:
    references = [row("The table."), row("She works."), row("You have gone.")]
    assert alone(verb_form, ["table", "she worked", "you have gone"], references) == {
        "verb_form": 0.5,
        "verb_form person: 2sg": 1,
        "verb_form person: 3sg": 0,
        "verb_form tense: participle": 1,
        "verb_form tense: present": 0,
    }
