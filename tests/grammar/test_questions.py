import numpy as np
import pytest

from hfmm.grammar import CELLS, VerbCell, parse
from hfmm.grammar.mistakes import MISTAKE_KINDS, mistakes
from hfmm.grammar.questions import (
    FULL_SENTENCE_KINDS,
    QUESTION_KINDS,
    QuestionAnswer,
    Stimulus,
    has_unique_answer,
    make_question,
)
from hfmm.grammar.sentences import Sentence, sentences

NAMING = ("tense", "person", "lemma", "conjugate")
PERFECT = {
    "present perfect": "participle",
    "past simple": "past",
    "present simple": "present",
    "future simple": "future",
}


def ask(shown: Stimulus, kind: str, times: int = 40) -> list[QuestionAnswer]:
    return [make_question(shown, kind, np.random.default_rng(seed)) for seed in range(times)]  # type: ignore[arg-type]


def page(text: str, *cell: str, printed: str = "") -> Stimulus:
    one = next(one for one in sentences(VerbCell(*cell)) if one.text == text)  # type: ignore[arg-type]
    return Stimulus(one.cell, one, printed or text)


@pytest.mark.parametrize(
    ("kind", "answer"), [("tense", "past participle"), ("person", "third person"), ("lemma", "write")]
)
def test_what_a_verb_is_has_the_same_name_on_an_icon_and_on_a_page(kind: str, answer: str) -> None:
    cell = ("write", "participle", "3sg")
    for shown in (Stimulus(VerbCell(*cell)), page("She has written a letter.", *cell)):  # type: ignore[arg-type]
        assert {one.answer for one in ask(shown, kind)} == {answer}


def test_a_wrong_sentence_is_copied_as_it_is_judged_wrong_and_mended() -> None:
    shown = page("She has written a letter.", "write", "participle", "3sg", printed="She has wrote a letter.")
    answers = {kind: ask(shown, kind, 1)[0].answer for kind in ("transcribe", "judge", "correct")}
    assert answers == {
        "transcribe": "She has wrote a letter.",
        "judge": "no",
        "correct": "She has written a letter.",
    }


def test_a_right_sentence_is_judged_right_and_left_alone() -> None:
    shown = page("I went home.", "go", "past", "1sg")
    answers = {kind: ask(shown, kind, 1)[0].answer for kind in ("transcribe", "judge", "correct")}
    assert answers == {"transcribe": "I went home.", "judge": "yes", "correct": "I went home."}


@pytest.mark.parametrize("person", ["1sg", "2sg", "3sg"])
def test_an_icon_is_conjugated_in_its_person_into_each_other_tense(person: str) -> None:
    found = {one.question: one.answer for one in ask(Stimulus(VerbCell("be", "past", person)), "conjugate", 200)}  # type: ignore[arg-type]
    expected = {
        "1sg": {"am", "have been", "will be"},
        "2sg": {"are", "have been", "will be"},
        "3sg": {"is", "has been", "will be"},
    }
    assert set(found.values()) == expected[person]
    for question, answer in found.items():
        name = next(name for name in PERFECT if name in question)
        assert PERFECT[name] in {reading.tense for reading in parse(answer)}


def test_a_sentence_is_conjugated_into_one_that_is_among_the_sentences_of_the_other_cell() -> None:
    texts = {one.text for cell in CELLS for one in sentences(cell)}
    for cell in CELLS[::7]:
        for one in sentences(cell):
            if has_unique_answer(one, "conjugate"):
                (exchange,) = ask(Stimulus(cell, one, one.text), "conjugate", 1)
                syncretic = cell.lemma in ("put", "read") and cell.person != "3sg"
                assert exchange.answer in texts or syncretic, exchange
                tense = PERFECT[next(name for name in PERFECT if name in exchange.question)]
                assert tense != cell.tense
                assert (cell.lemma, tense, cell.person) in {reading[:3] for reading in parse(exchange.answer)}


def test_a_sentence_in_another_tense_reads_as_english_does() -> None:
    answers = {one.answer for one in ask(page("It stops at the corner.", "stop", "present", "3sg"), "conjugate")}
    assert answers == {"It stopped at the corner.", "It has stopped at the corner.", "It will stop at the corner."}


@pytest.mark.parametrize(
    ("text", "template", "cell", "kinds"),
    [
        ("She wants to go home.", "SUBJ wants to VERB", ("go", "infinitive", "3sg"), ()),
        ("She can go home.", "SUBJ can VERB", ("go", "infinitive", "3sg"), ("tense", "person", "lemma")),
        ("Last week I went home.", "last week SUBJ PAST", ("go", "past", "1sg"), ("tense", "person", "lemma")),
        ("I went home.", "SUBJ PAST", ("go", "past", "1sg"), NAMING),
    ],
)
def test_a_question_with_several_answers_is_not_asked(
    text: str, template: str, cell: tuple[str, str, str], kinds: tuple[str, ...]
) -> None:
    one = Sentence(text, template, VerbCell(*cell))  # type: ignore[arg-type]
    assert tuple(kind for kind in NAMING if has_unique_answer(one, kind)) == kinds  # type: ignore[arg-type]


def test_every_kind_has_several_wordings_and_none_gives_its_answer_away() -> None:
    shown = {"icon": Stimulus(VerbCell("eat", "past", "3sg")), "page": page("She ate an apple.", "eat", "past", "3sg")}
    for picture, one in shown.items():
        for kind in QUESTION_KINDS if picture == "page" else (*NAMING, "caption"):
            found = ask(one, kind, 200)
            wordings = {exchange.question for exchange in found}
            assert len(wordings) >= 4
            for exchange in found:
                listed = exchange.question.count("simple") > 1 or "First, second" in exchange.question
                listed = listed or "first, second" in exchange.question or "yes or no" in exchange.question.lower()
                assert listed or exchange.answer.lower() not in exchange.question.lower(), exchange


def test_answers_are_short() -> None:
    for cell in CELLS:
        for kind in NAMING:
            assert len(ask(Stimulus(cell), kind, 1)[0].answer.split()) <= 2
    for kind in MISTAKE_KINDS:
        assert all(len(one.right.text) <= 64 for cell in CELLS for one in mistakes(cell, kind))


def test_an_icon_holds_no_sentence() -> None:
    for kind in set(FULL_SENTENCE_KINDS) - {"conjugate"} | {"judge"}:
        with pytest.raises(KeyError):
            ask(Stimulus(CELLS[0]), kind, 1)


def test_a_picture_has_one_short_caption() -> None:
    assert (
        ask(Stimulus(VerbCell("go", "past", "1sg")), "caption", 1)[0].answer == "1st person singular past simple of go"
    )
    shown = page("I went home.", "go", "past", "1sg", printed="I goed home.")
    assert {one.answer for one in ask(shown, "caption")} == {"I goed home."}
