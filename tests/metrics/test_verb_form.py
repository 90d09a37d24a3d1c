from typing import Any

import numpy as np
import pytest

from hfmm.grammar import LEMMAS, Person, Tense, parse, surface_form
from hfmm.metrics import verb_form

SUBJECTS: dict[Person, str] = {"1sg": "I", "2sg": "you", "3sg": "she"}
FINITE: tuple[Tense, ...] = ("present", "past", "participle", "future")


def row(text: str) -> dict[str, Any]:
    return {"text": text, "readings": [reading._asdict() for reading in parse(text)]}


def count_exact(prediction: str, text: str) -> tuple[float, float]:
    numerators, denominators = verb_form.row_statistics([prediction], [row(text)])[""]
    return numerators[0], denominators[0]


def single_confusion(prediction: str, text: str) -> tuple[str, str, str, str]:
    ((name, predicted_name, count, form, predicted_form),) = verb_form.confusions([prediction], [row(text)], parse)
    assert count == 1
    return name, predicted_name, form, predicted_form


def form(lemma: str, tense: Tense, person: Person) -> str:
    perfect = surface_form("have", "present", person) if tense == "participle" else ""
    return f"{perfect} {surface_form(lemma, tense, person)}".strip()


@pytest.mark.parametrize("person", SUBJECTS)
@pytest.mark.parametrize("lemma", LEMMAS)
def test_replaced_form_is_the_confusion_of_two_cells(lemma: str, person: Person) -> None:
    """The expected confusion follows from the grid, because both forms are drawn from it."""
    forms = {tense: form(lemma, tense, person) for tense in FINITE}
    for tense, words in forms.items():
        for predicted_tense, predicted_words in forms.items():
            text, prediction = (f"{SUBJECTS[person]} {group} a lot." for group in (words, predicted_words))
            assert count_exact(prediction, text) == (words == predicted_words, 1)
            if words != predicted_words:
                name, predicted_name, *examples = single_confusion(prediction, text)
                assert f"{tense} {person}" == name or tense in name.split()[0].split("/")
                is_ambiguous = list(forms.values()).count(predicted_words) > 1
                assert f"{predicted_tense} {person}" == predicted_name or is_ambiguous
                assert examples == [words, predicted_words]


@pytest.mark.parametrize(
    ("prediction", "text", "exact"),
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
def test_form_is_exact_only_with_its_auxiliaries(prediction: str, text: str, exact: int) -> None:
    assert count_exact(prediction, text) == (exact, 1)


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
def test_confusion_of_a_form(prediction: str, text: str, expected: tuple[str, ...] | None) -> None:
    if expected:
        assert single_confusion(prediction, text) == expected
    else:
        names = {confusion[:2] for confusion in verb_form.confusions([prediction], [row(text)], parse)}
        assert names == {("present 3sg", "past 3sg"), ("infinitive", "nothing")}


def test_slices_equal_manual_count() -> None:
    texts = ["She works to live.", "I have worked.", "Walked.", "The table."]
    predictions = ["she worked to live", "I have worked", "walk", "the tables"]
    slices = verb_form.row_statistics(predictions, [row(text) for text in texts])
    assert {
        name: (numerators.tolist(), denominators.tolist()) for name, (numerators, denominators) in slices.items()
    } == {
        "": ([1, 1, 0, 0], [2, 1, 1, 0]),
        "person: 1sg": ([0, 1, 0, 0], [0, 1, 0, 0]),
        "person: 3sg": ([0, 0, 0, 0], [1, 0, 0, 0]),
        "tense: infinitive": ([1, 0, 0, 0], [1, 0, 0, 0]),
        "tense: participle": ([0, 1, 0, 0], [0, 1, 0, 0]),
        "tense: present": ([0, 0, 0, 0], [1, 0, 0, 0]),
    }
    assert next(iter(slices)) == ""


def test_confusions_are_the_inexact_forms_by_frequency() -> None:
    texts = ["She works.", "He works.", "You went.", "I go."]
    predictions = ["she worked", "he worked", "you go", "I go"]
    references = [row(text) for text in texts]
    confusions = verb_form.confusions(predictions, references, parse)
    assert [confusion[:3] for confusion in confusions] == [
        ("present 3sg", "past 3sg", 2),
        ("past 2sg", "present 2sg", 1),
    ]
    exact, counts = verb_form.row_statistics(predictions, references)[""]
    assert sum(confusion.times for confusion in confusions) == np.sum(counts - exact)


def test_references_without_a_verb_form_have_no_slice() -> None:
    assert verb_form.row_statistics(["the table"], [row("the table")]) == {}
    assert verb_form.confusions(["the table"], [row("the table")], parse) == []


def test_different_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        verb_form.row_statistics(["a"], [row("a"), row("b")])


def test_evaluate_loads_the_metric_by_path_offline_without_hfmm(compute_offline: Any) -> None:
    references = [row("The table."), row("She works."), row("You have gone.")]
    assert compute_offline(verb_form, ["table", "she worked", "you have gone"], references) == {
        "verb_form": 0.5,
        "verb_form person: 2sg": 1,
        "verb_form person: 3sg": 0,
        "verb_form tense: participle": 1,
        "verb_form tense: present": 0,
    }
