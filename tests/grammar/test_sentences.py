import re

import numpy as np
import pytest

from hfmm.grammar import CELLS, PERSONS, TENSES, VerbCell, parse, surface_form
from hfmm.grammar.sentences import (
    TEMPLATES,
    Sentence,
    matching_templates,
    sentence,
    sentences,
    verb_group,
    with_verb_group,
)


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_every_sentence_of_a_cell_is_read_as_that_cell(cell: VerbCell) -> None:
    assert len(sentences(cell)) >= 4
    for one in sentences(cell):
        assert one.cell == cell
        assert cell in {reading[:3] for reading in parse(one.text)}, one.text


def test_no_two_cells_and_no_two_templates_share_a_sentence() -> None:
    texts = [one.text for cell in CELLS for one in sentences(cell)]
    assert len(set(texts)) == len(texts)


def test_sentences_are_written_as_english_is() -> None:
    for text in (one.text for cell in CELLS for one in sentences(cell)):
        assert re.fullmatch(r"[A-Z][A-Za-z ]* [A-Za-z]+\.", text), text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  ", text), text
        assert not re.search(r"\b(He|She|It|sister|teacher|neighbour) (have|want|are|am|do)\b", text), text
        assert len(text) <= 64


def test_known_sentences_are_among_them() -> None:
    def template(text: str, *cell: str) -> str:
        return {one.text: one.template for one in sentences(VerbCell(*cell))}[text]  # type: ignore[arg-type]

    assert template("She has written a letter.", "write", "participle", "3sg") == "SUBJ has PARTICIPLE"
    assert template("You are tired.", "be", "present", "2sg") == "SUBJ PRESENT"
    assert template("Last week I put the key on the table.", "put", "past", "1sg") == "last week SUBJ PAST"
    assert template("My sister wants to go home.", "go", "infinitive", "3sg") == "SUBJ wants to VERB"
    assert template("It will stop at the corner.", "stop", "future", "3sg") == "SUBJ will VERB"


def test_templates_cover_every_tense_and_person() -> None:
    assert {(one.tense, person) for one in TEMPLATES for person in one.persons} == {
        (tense, person) for tense in TENSES for person in PERSONS
    }
    assert len({one.text for one in TEMPLATES}) == len(TEMPLATES)


def test_a_sentence_with_a_word_for_the_time_fits_the_template_without_it_too() -> None:
    cell = VerbCell("go", "past", "1sg")
    assert matching_templates(Sentence("Last week I went home.", "last week SUBJ PAST", cell)) == (
        "last week SUBJ PAST",
        "SUBJ PAST",
    )
    assert matching_templates(Sentence("I went home.", "SUBJ PAST", cell)) == ("SUBJ PAST",)


def test_the_same_generator_draws_the_same_sentence() -> None:
    cell = VerbCell("eat", "future", "3sg")
    drawn = [sentence(cell, np.random.default_rng(seed)) for seed in range(40)]
    assert drawn == [sentence(cell, np.random.default_rng(seed)) for seed in range(40)]
    assert len(set(drawn)) > 20


def test_without_complements_sentences_end_with_the_verb() -> None:
    for cell in CELLS:
        texts = {one.text for one in sentences(cell, complements=False)}
        assert {one.text for one in sentences(cell)} - texts
        for one in sentences(cell, complements=False):
            assert one.text.endswith(f" {surface_form(*cell)}.")
            assert any(other.text.startswith(one.text.removesuffix(".")) for other in sentences(cell))


@pytest.mark.parametrize(
    ("text", "group", "other", "result"),
    [
        ("My sister has had an old car.", "has had", "have had", "My sister have had an old car."),
        ("He did the washing.", "did", "does", "He does the washing."),
        ("Next week you will do nothing at all.", "will do", "did", "Next week you did nothing at all."),
        ("She wants to be very quiet.", "wants to be", "is", "She is very quiet."),
    ],
)
def test_the_words_of_the_verb_are_found_and_exchanged(text: str, group: str, other: str, result: str) -> None:
    one = next(one for cell in CELLS for one in sentences(cell) if one.text == text)
    assert verb_group(one) == group
    assert with_verb_group(one, other) == result


def test_the_verb_put_in_its_own_place_leaves_a_sentence_as_it_is() -> None:
    for one in (one for cell in CELLS for one in sentences(cell)):
        assert with_verb_group(one, verb_group(one)) == one.text
        before, _, after = with_verb_group(one, "XXX").partition("XXX")
        assert one.text == f"{before}{verb_group(one)}{after}"
