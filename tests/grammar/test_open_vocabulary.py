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


def test_no_word_is_a_form_of_the_twenty_verbs() -> None:
    forms = {surface_form(*cell).removeprefix("will ") for cell in CELLS}
    for cell, text in open_vocabulary_sentences():
        assert cell.lemma not in LEMMAS
        assert not forms & set(words(text)), text


def test_there_are_thousands_and_no_two_are_alike() -> None:
    texts = [text for _, text in open_vocabulary_sentences()]
    assert len(set(texts)) == len(texts) > 20_000
    assert all(re.fullmatch(r"[A-Z][A-Za-z ]*\.", text) for text in texts)
    assert max(len(words(text)) for text in texts) <= 14


def test_they_are_the_same_every_time() -> None:
    first = open_vocabulary_sentences()
    open_vocabulary_sentences.cache_clear()
    assert open_vocabulary_sentences() == first


def test_every_letter_is_frequent_and_every_tense_and_person_alike() -> None:
    letters = Counter("".join("".join(words(text)) for _, text in open_vocabulary_sentences()))
    assert min(letters[letter] for letter in ascii_lowercase) > 1000
    kinds = Counter((cell.tense, cell.person) for cell, _ in open_vocabulary_sentences())
    assert len(kinds) == 3 * len(OUTSIDE_TENSES)
    assert min(kinds.values()) > 0.8 * max(kinds.values())


def test_the_verb_group_is_read_back_as_the_cell_it_says() -> None:
    missed = []
    for cell, text in open_vocabulary_sentences()[::40]:
        if cell.tense != "infinitive" and cell not in {one[:3] for one in parse(text)}:
            missed.append((cell, text))
    assert len(missed) < 0.25 * len(open_vocabulary_sentences()[::40]), missed[:20]


def test_a_sentence_of_two_verbs_or_of_a_form_of_two_tenses_does_not_say_its_tense() -> None:
    assert has_unambiguous_tense(VerbCell("jump", "infinitive", "1sg"), "I can jump.")
    assert not has_unambiguous_tense(VerbCell("jump", "infinitive", "1sg"), "I want to jump.")
    assert not has_unambiguous_tense(VerbCell("cut", "present", "1sg"), "I cut the rope.")
    assert has_unambiguous_tense(VerbCell("cut", "future", "1sg"), "I will cut the rope.")
    assert has_unambiguous_tense(VerbCell("jump", "past", "3sg"), "He jumped.")


def test_phrases_are_of_thousands_of_short_verbs_and_none_of_the_twenty() -> None:
    forms = {surface_form(*cell).removeprefix("will ") for cell in CELLS}
    said = open_vocabulary_phrases()
    assert len({text for _, text in said}) == len(said) > 50_000
    assert len({cell.lemma for cell, _ in said}) > 3000
    assert max(len(cell.lemma) for cell, _ in said) <= MAX_VERB_LETTERS
    for _, text in said:
        assert re.fullmatch(r"(I|You|He|She|It|For (me|you|him|her|it) to) [a-z ]+\.", text), text
        assert not forms & set(words(text)), text


def test_phrases_inflect_their_verb_for_tense_and_person() -> None:
    said = {
        cell: text for cell, text in open_vocabulary_phrases() if cell.lemma == "weave" and "it" not in text.lower()
    }
    assert said[VerbCell("weave", "present", "3sg")] == "She weaves."
    assert said[VerbCell("weave", "past", "1sg")] == "I weaved."
    assert said[VerbCell("weave", "future", "2sg")] == "You will weave."
    assert said[VerbCell("weave", "infinitive", "3sg")] == "For her to weave."
