from collections import Counter

import pytest
from lemminflect import getAllLemmas

from hfmm.grammar import CELLS, LEMMAS, VerbCell, parse, surface_form
from hfmm.grammar.mistakes import MISTAKE_KINDS, Mistake, mistakes
from hfmm.grammar.sentences import sentences
from hfmm.grammar.verbs import TENSES

PRONOUNS = ("I", "You", "He", "She", "It")


def all_mistakes(kind: str, complements: bool = True) -> list[Mistake]:
    return [mistake for cell in CELLS for mistake in mistakes(cell, kind, complements)]  # type: ignore[arg-type]


def without_time(text: str) -> str:
    """Return a sentence without its time expression."""
    for time in ("In summer ", "Last week ", "Next week "):
        text = text.removeprefix(time)
    return text[0].upper() + text[1:]


def changed_words(mistake: Mistake) -> list[tuple[str, str]]:
    pairs = zip(mistake.wrong.split(), mistake.right.text.split(), strict=True)
    return [(wrong_word, correct_word) for wrong_word, correct_word in pairs if wrong_word != correct_word]


CORRECT_TEXTS = {
    without_time(sentence.text)
    for complements in (True, False)
    for cell in CELLS
    for sentence in sentences(cell, complements)
}


@pytest.mark.parametrize("complements", [True, False])
@pytest.mark.parametrize("kind", ["agreement", "form", "inflection"])
def test_no_wrong_sentence_is_correct_in_another_reading(kind: str, complements: bool) -> None:
    texts = [mistake.wrong for mistake in all_mistakes(kind, complements)]
    assert [text for text in texts if without_time(text) in CORRECT_TEXTS] == []


@pytest.mark.parametrize("complements", [True, False])
def test_wrong_tense_clashes_with_the_time_in_every_reading(complements: bool) -> None:
    allowed_tenses = {"Last": {"past"}, "Next": {"future", "present"}}
    tense_mistakes = all_mistakes("tense", complements)
    assert {mistake.wrong.split()[0] for mistake in tense_mistakes} == set(allowed_tenses)
    for mistake in tense_mistakes:
        text, sentence = mistake.wrong, mistake.right
        assert without_time(text) in CORRECT_TEXTS  # without the time expression nothing would be wrong
        tenses = {reading.tense for reading in parse(text) if reading.lemma == sentence.cell.lemma}
        if sentence.text.split()[2] in ("I", "you", "he", "she", "it"):
            assert tenses and not tenses & allowed_tenses[text.split()[0]], text


def test_agreement_mistake_has_no_reading_after_its_pronoun() -> None:
    for mistake in all_mistakes("agreement"):
        words = without_time(mistake.wrong).split()
        if words[0] in PRONOUNS and "to" not in words[2:3]:
            group = " ".join(words[:3] if words[1] in ("have", "has") else words[:2])
            assert mistake.right.cell not in {reading[:3] for reading in parse(group)}, mistake.wrong


def test_form_mistake_is_another_form_of_the_same_verb() -> None:
    for mistake in all_mistakes("form"):
        ((wrong_word, correct_word),) = changed_words(mistake)
        lemma, _, person = mistake.right.cell
        forms = {surface_form(lemma, tense, person) for tense in TENSES}
        assert {wrong_word, correct_word} <= forms


def test_inflection_mistake_is_not_an_english_verb() -> None:
    for mistake in all_mistakes("inflection"):
        ((wrong_word, _),) = changed_words(mistake)
        assert "VERB" not in getAllLemmas(wrong_word), wrong_word


@pytest.mark.parametrize("kind", MISTAKE_KINDS)
def test_every_verb_has_distinct_mistakes_in_sentences_of_its_cells(kind: str) -> None:
    mistakes_of_kind = all_mistakes(kind)
    assert {mistake.right.cell.lemma for mistake in mistakes_of_kind} == set(LEMMAS)
    assert all(mistake.kind == kind for mistake in mistakes_of_kind)
    assert all(mistake.right in sentences(mistake.right.cell) for mistake in mistakes_of_kind)
    assert max(Counter((mistake.wrong, mistake.right.text) for mistake in mistakes_of_kind).values()) == 1


def test_wrong_sentence_has_one_correction() -> None:
    corrections: dict[str, set[str]] = {}
    for kind in MISTAKE_KINDS:
        for mistake in all_mistakes(kind):
            corrections.setdefault(mistake.wrong, set()).add(mistake.right.text)
    assert [(wrong, texts) for wrong, texts in corrections.items() if len(texts) > 1] == []


@pytest.mark.parametrize(
    ("cell", "kind", "wrong", "correct"),
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
def test_known_mistakes_are_generated(cell: tuple[str, str, str], kind: str, wrong: str, correct: str) -> None:
    corrections = {mistake.wrong: mistake.right.text for mistake in mistakes(VerbCell(*cell), kind)}  # type: ignore[arg-type]
    assert corrections[wrong] == correct


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (("read", "present", "3sg"), "agreement"),  # She read is a correct past
        (("put", "future", "1sg"), "tense"),  # Next week I put is a plan
        (("put", "participle", "1sg"), "form"),  # all forms after had are put
        (("work", "participle", "3sg"), "form"),  # She has work at night is correct
        (("live", "future", "2sg"), "inflection"),
    ],
)
def test_cell_without_a_wrong_form_has_no_mistake(cell: tuple[str, str, str], kind: str) -> None:
    assert mistakes(VerbCell(*cell), kind) == ()  # type: ignore[arg-type]


def test_saw_as_a_verb_of_its_own_is_not_a_mistake() -> None:
    texts = {mistake.wrong for mistake in all_mistakes("form", complements=False)}
    assert not texts & {"I can saw.", "He will saw."}
