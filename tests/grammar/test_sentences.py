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

ALL_SENTENCES = [candidate for cell in CELLS for candidate in sentences(cell)]


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_every_sentence_parses_to_its_cell(cell: VerbCell) -> None:
    assert len(sentences(cell)) >= 4
    for candidate in sentences(cell):
        assert candidate.cell == cell
        assert cell in {reading[:3] for reading in parse(candidate.text)}, candidate.text


def test_all_sentences_are_distinct() -> None:
    texts = [candidate.text for candidate in ALL_SENTENCES]
    assert len(set(texts)) == len(texts)


def test_sentences_are_correct_english() -> None:
    for text in (candidate.text for candidate in ALL_SENTENCES):
        assert re.fullmatch(r"[A-Z][A-Za-z ]* [A-Za-z]+\.", text), text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  ", text), text
        assert not re.search(r"\b(He|She|It|sister|teacher|neighbour) (have|want|are|am|do)\b", text), text
        assert len(text) <= 64


def test_known_sentences_are_generated() -> None:
    def template(text: str, *cell: str) -> str:
        return {known.text: known.template for known in sentences(VerbCell(*cell))}[text]  # type: ignore[arg-type]

    assert template("She has written a letter.", "write", "participle", "3sg") == "SUBJ has PARTICIPLE"
    assert template("You are tired.", "be", "present", "2sg") == "SUBJ PRESENT"
    assert template("Last week I put the key on the table.", "put", "past", "1sg") == "last week SUBJ PAST"
    assert template("My sister wants to go home.", "go", "infinitive", "3sg") == "SUBJ wants to VERB"
    assert template("It will stop at the corner.", "stop", "future", "3sg") == "SUBJ will VERB"


def test_templates_cover_every_tense_and_person() -> None:
    assert {(template.tense, person) for template in TEMPLATES for person in template.persons} == {
        (tense, person) for tense in TENSES for person in PERSONS
    }
    assert len({template.text for template in TEMPLATES}) == len(TEMPLATES)


def test_sentence_with_a_time_also_matches_the_template_without() -> None:
    cell = VerbCell("go", "past", "1sg")
    assert matching_templates(Sentence("Last week I went home.", "last week SUBJ PAST", cell)) == (
        "last week SUBJ PAST",
        "SUBJ PAST",
    )
    assert matching_templates(Sentence("I went home.", "SUBJ PAST", cell)) == ("SUBJ PAST",)


def test_same_seed_draws_the_same_sentence() -> None:
    cell = VerbCell("eat", "future", "3sg")
    drawn = [sentence(cell, np.random.default_rng(seed)) for seed in range(40)]
    assert drawn == [sentence(cell, np.random.default_rng(seed)) for seed in range(40)]
    assert len(set(drawn)) > 20


def test_sentences_without_complements_end_with_the_verb() -> None:
    for cell in CELLS:
        full_texts = {full.text for full in sentences(cell)}
        short_texts = {short.text for short in sentences(cell, complements=False)}
        assert full_texts - short_texts
        for text in short_texts:
            assert text.endswith(f" {surface_form(*cell)}.")
            assert any(full_text.startswith(text.removesuffix(".")) for full_text in full_texts)


@pytest.mark.parametrize(
    ("text", "group", "new_group", "expected"),
    [
        ("My sister has had an old car.", "has had", "have had", "My sister have had an old car."),
        ("He did the washing.", "did", "does", "He does the washing."),
        ("Next week you will do nothing at all.", "will do", "did", "Next week you did nothing at all."),
        ("She wants to be very quiet.", "wants to be", "is", "She is very quiet."),
    ],
)
def test_verb_group_is_found_and_replaced(text: str, group: str, new_group: str, expected: str) -> None:
    known = next(candidate for candidate in ALL_SENTENCES if candidate.text == text)
    assert verb_group(known) == group
    assert with_verb_group(known, new_group) == expected


def test_replacing_the_verb_group_by_itself_changes_nothing() -> None:
    for candidate in ALL_SENTENCES:
        assert with_verb_group(candidate, verb_group(candidate)) == candidate.text
        before, _, after = with_verb_group(candidate, "XXX").partition("XXX")
        assert candidate.text == f"{before}{verb_group(candidate)}{after}"
