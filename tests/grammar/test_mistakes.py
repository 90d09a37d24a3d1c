from collections import Counter

import pytest
from lemminflect import getAllLemmas

from hfmm.grammar import CELLS, LEMMAS, VerbCell, parse, surface_form
from hfmm.grammar.mistakes import MISTAKE_KINDS, Mistake, mistakes
from hfmm.grammar.sentences import sentences
from hfmm.grammar.verbs import TENSES

PRONOUNS = ("I", "You", "He", "She", "It")


def all_of(kind: str, complements: bool = True) -> list[Mistake]:
    return [one for cell in CELLS for one in mistakes(cell, kind, complements)]  # type: ignore[arg-type]


def timeless(text: str) -> str:
    """The sentence as it would be without a word for the time."""
    for time in ("In summer ", "Last week ", "Next week "):
        text = text.removeprefix(time)
    return text[0].upper() + text[1:]


def changed_words(one: Mistake) -> list[tuple[str, str]]:
    return [pair for pair in zip(one.wrong.split(), one.right.text.split(), strict=True) if pair[0] != pair[1]]


RIGHT = {timeless(one.text) for short in (True, False) for cell in CELLS for one in sentences(cell, short)}


@pytest.mark.parametrize("complements", [True, False])
@pytest.mark.parametrize("kind", ["agreement", "form", "inflection"])
def test_no_wrong_sentence_is_right_in_another_tense_or_with_another_word_for_the_time(
    kind: str, complements: bool
) -> None:
    assert [one.wrong for one in all_of(kind, complements) if timeless(one.wrong) in RIGHT] == []


@pytest.mark.parametrize("complements", [True, False])
def test_a_wrong_tense_clashes_with_the_word_for_the_time_in_every_reading(complements: bool) -> None:
    allowed = {"Last": {"past"}, "Next": {"future", "present"}}
    found = all_of("tense", complements)
    assert {one.wrong.split()[0] for one in found} == set(allowed)
    for one in found:
        assert timeless(one.wrong) in RIGHT  # without the word for the time nothing would be wrong
        readings = {reading.tense for reading in parse(one.wrong) if reading.lemma == one.right.cell.lemma}
        if one.right.text.split()[2] in ("I", "you", "he", "she", "it"):
            assert readings and not readings & allowed[one.wrong.split()[0]], one.wrong


def test_a_verb_that_does_not_agree_has_no_reading_behind_its_pronoun() -> None:
    for one in all_of("agreement"):
        words = timeless(one.wrong).split()
        if words[0] in PRONOUNS and "to" not in words[2:3]:
            group = " ".join(words[:3] if words[1] in ("have", "has") else words[:2])
            assert one.right.cell not in {reading[:3] for reading in parse(group)}, one.wrong


def test_a_form_behind_an_auxiliary_is_another_form_of_the_same_verb() -> None:
    for one in all_of("form"):
        ((wrong, right),) = changed_words(one)
        lemma = one.right.cell.lemma
        forms = {surface_form(lemma, tense, one.right.cell.person) for tense in TENSES}
        assert {wrong, right} <= forms


def test_an_inflection_that_is_wrong_is_no_word_of_english_as_a_verb() -> None:
    for one in all_of("inflection"):
        ((wrong, _),) = changed_words(one)
        assert "VERB" not in getAllLemmas(wrong), wrong


@pytest.mark.parametrize("kind", MISTAKE_KINDS)
def test_every_verb_can_be_got_wrong_and_the_right_sentence_is_one_of_its_cell(kind: str) -> None:
    found = all_of(kind)
    assert {one.right.cell.lemma for one in found} == set(LEMMAS)
    assert all(one.kind == kind and one.right in sentences(one.right.cell) for one in found)
    assert max(Counter((one.wrong, one.right.text) for one in found).values()) == 1


def test_a_wrong_sentence_has_one_correction() -> None:
    corrections: dict[str, set[str]] = {}
    for kind in MISTAKE_KINDS:
        for one in all_of(kind):
            corrections.setdefault(one.wrong, set()).add(one.right.text)
    assert [(wrong, right) for wrong, right in corrections.items() if len(right) > 1] == []


@pytest.mark.parametrize(
    ("cell", "kind", "wrong", "right"),
    [
        (("write", "participle", "3sg"), "agreement", "She have written a letter.", "She has written a letter."),
        (("be", "past", "2sg"), "agreement", "You was tired.", "You were tired."),
        (("go", "infinitive", "3sg"), "agreement", "She want to go home.", "She wants to go home."),
        (("go", "past", "1sg"), "tense", "Last week I go home.", "Last week I went home."),
        (("eat", "future", "3sg"), "tense", "Next week he ate an apple.", "Next week he will eat an apple."),
        (("write", "participle", "1sg"), "form", "I had wrote an essay.", "I had written an essay."),
        (("be", "future", "1sg"), "form", "I will am ready.", "I will be ready."),
        (("go", "past", "3sg"), "inflection", "He goed home.", "He went home."),
        (("study", "present", "3sg"), "inflection", "She studys history.", "She studies history."),
    ],
)
def test_known_mistakes_are_among_them(cell: tuple[str, str, str], kind: str, wrong: str, right: str) -> None:
    found = {one.wrong: one.right.text for one in mistakes(VerbCell(*cell), kind)}  # type: ignore[arg-type]
    assert found[wrong] == right


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (("read", "present", "3sg"), "agreement"),  # She read is the past
        (("put", "future", "1sg"), "tense"),  # Next week I put tells a plan
        (("put", "participle", "1sg"), "form"),  # have put whatever one does
        (("work", "participle", "3sg"), "form"),  # She has work at night is right
        (("live", "future", "2sg"), "inflection"),
    ],
)
def test_where_the_other_form_is_right_too_there_is_no_mistake(cell: tuple[str, str, str], kind: str) -> None:
    assert mistakes(VerbCell(*cell), kind) == ()  # type: ignore[arg-type]


def test_to_saw_is_a_verb() -> None:
    assert not [one for one in all_of("form", complements=False) if one.wrong in ("I can saw.", "He will saw.")]
