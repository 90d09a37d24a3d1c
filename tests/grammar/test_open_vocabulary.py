import re
from collections import Counter
from string import ascii_lowercase

from hfmm.grammar import CELLS, LEMMAS, VerbCell, parse, surface_form
from hfmm.grammar.open_vocabulary import (
    MAX_VERB_LETTERS,
    OUTSIDE_TENSES,
    has_unambiguous_tense,
    open_vocabulary_phrases,
    open_vocabulary_sentences,
)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def test_sentences_contain_no_form_of_the_twenty_verbs() -> None:
    forms = {surface_form(*cell).removeprefix("will ") for cell in CELLS}
    for cell, text in open_vocabulary_sentences():
        assert cell.lemma not in LEMMAS
        assert not forms & set(words(text)), text


def test_there_are_thousands_of_distinct_sentences() -> None:
    texts = [text for _, text in open_vocabulary_sentences()]
    assert len(set(texts)) == len(texts) > 20_000
    assert all(re.fullmatch(r"[A-Z][A-Za-z ]*\.", text) for text in texts)
    assert max(len(words(text)) for text in texts) <= 14


def test_sentences_are_deterministic() -> None:
    first = open_vocabulary_sentences()
    open_vocabulary_sentences.cache_clear()
    assert open_vocabulary_sentences() == first


def test_letters_are_frequent_and_tenses_and_persons_balanced() -> None:
    letters = Counter("".join("".join(words(text)) for _, text in open_vocabulary_sentences()))
    assert min(letters[letter] for letter in ascii_lowercase) > 1000
    kinds = Counter((cell.tense, cell.person) for cell, _ in open_vocabulary_sentences())
    assert len(kinds) == 3 * len(OUTSIDE_TENSES)
    assert min(kinds.values()) > 0.8 * max(kinds.values())


def test_most_sentences_parse_to_their_cell() -> None:
    sample = open_vocabulary_sentences()[::40]
    missed = [
        (cell, text)
        for cell, text in sample
        if cell.tense != "infinitive" and cell not in {reading[:3] for reading in parse(text)}
    ]
    assert len(missed) < 0.25 * len(sample), missed[:20]


def test_two_verbs_or_a_form_of_two_tenses_are_ambiguous() -> None:
    assert has_unambiguous_tense(VerbCell("jump", "infinitive", "1sg"), "I can jump.")
    assert not has_unambiguous_tense(VerbCell("jump", "infinitive", "1sg"), "I want to jump.")
    assert not has_unambiguous_tense(VerbCell("cut", "present", "1sg"), "I cut the rope.")
    assert has_unambiguous_tense(VerbCell("cut", "future", "1sg"), "I will cut the rope.")
    assert has_unambiguous_tense(VerbCell("jump", "past", "3sg"), "He jumped.")


def test_phrases_use_thousands_of_short_verbs_outside_the_twenty() -> None:
    forms = {surface_form(*cell).removeprefix("will ") for cell in CELLS}
    phrases = open_vocabulary_phrases()
    assert len({text for _, text in phrases}) == len(phrases) > 50_000
    assert len({cell.lemma for cell, _ in phrases}) > 3000
    assert max(len(cell.lemma) for cell, _ in phrases) <= MAX_VERB_LETTERS
    for _, text in phrases:
        assert re.fullmatch(r"(I|You|He|She|It|For (me|you|him|her|it) to) [a-z ]+\.", text), text
        assert not forms & set(words(text)), text


def test_phrases_inflect_the_verb_for_tense_and_person() -> None:
    phrases = {
        cell: text for cell, text in open_vocabulary_phrases() if cell.lemma == "weave" and "it" not in text.lower()
    }
    assert phrases[VerbCell("weave", "present", "3sg")] == "She weaves."
    assert phrases[VerbCell("weave", "past", "1sg")] == "I weaved."
    assert phrases[VerbCell("weave", "future", "2sg")] == "You will weave."
    assert phrases[VerbCell("weave", "infinitive", "3sg")] == "For her to weave."
