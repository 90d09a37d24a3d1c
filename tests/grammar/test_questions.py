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
TENSE_BY_NAME = {
    "present perfect": "participle",
    "past simple": "past",
    "present simple": "present",
    "future simple": "future",
}


def ask(stimulus: Stimulus, kind: str, count: int = 40) -> list[QuestionAnswer]:
    return [make_question(stimulus, kind, np.random.default_rng(seed)) for seed in range(count)]  # type: ignore[arg-type]


def page(text: str, *cell: str, printed: str = "") -> Stimulus:
    sentence = next(sentence for sentence in sentences(VerbCell(*cell)) if sentence.text == text)  # type: ignore[arg-type]
    return Stimulus(sentence.cell, sentence, printed or text)


@pytest.mark.parametrize(
    ("kind", "answer"), [("tense", "past participle"), ("person", "third person"), ("lemma", "write")]
)
def test_icon_and_page_have_the_same_answer(kind: str, answer: str) -> None:
    cell = ("write", "participle", "3sg")
    for stimulus in (Stimulus(VerbCell(*cell)), page("She has written a letter.", *cell)):  # type: ignore[arg-type]
        assert {question.answer for question in ask(stimulus, kind)} == {answer}


def test_answers_about_a_wrong_sentence() -> None:
    stimulus = page("She has written a letter.", "write", "participle", "3sg", printed="She has wrote a letter.")
    answers = {kind: ask(stimulus, kind, 1)[0].answer for kind in ("transcribe", "judge", "correct")}
    assert answers == {
        "transcribe": "She has wrote a letter.",
        "judge": "no",
        "correct": "She has written a letter.",
    }


def test_answers_about_a_correct_sentence() -> None:
    stimulus = page("I went home.", "go", "past", "1sg")
    answers = {kind: ask(stimulus, kind, 1)[0].answer for kind in ("transcribe", "judge", "correct")}
    assert answers == {"transcribe": "I went home.", "judge": "yes", "correct": "I went home."}


@pytest.mark.parametrize("person", ["1sg", "2sg", "3sg"])
def test_icon_is_conjugated_into_every_other_tense(person: str) -> None:
    stimulus = Stimulus(VerbCell("be", "past", person))  # type: ignore[arg-type]
    answers = {question.question: question.answer for question in ask(stimulus, "conjugate", 200)}
    expected = {
        "1sg": {"am", "have been", "will be"},
        "2sg": {"are", "have been", "will be"},
        "3sg": {"is", "has been", "will be"},
    }
    assert set(answers.values()) == expected[person]
    for question, answer in answers.items():
        name = next(name for name in TENSE_BY_NAME if name in question)
        assert TENSE_BY_NAME[name] in {reading.tense for reading in parse(answer)}


def test_conjugated_sentence_is_a_sentence_of_the_other_cell() -> None:
    texts = {sentence.text for cell in CELLS for sentence in sentences(cell)}
    for cell in CELLS[::7]:
        for sentence in sentences(cell):
            if has_unique_answer(sentence, "conjugate"):
                (question,) = ask(Stimulus(cell, sentence, sentence.text), "conjugate", 1)
                is_ambiguous = cell.lemma in ("put", "read") and cell.person != "3sg"
                assert question.answer in texts or is_ambiguous, question
                tense = TENSE_BY_NAME[next(name for name in TENSE_BY_NAME if name in question.question)]
                assert tense != cell.tense
                assert (cell.lemma, tense, cell.person) in {reading[:3] for reading in parse(question.answer)}


def test_conjugated_sentences_of_a_known_page() -> None:
    stimulus = page("It stops at the corner.", "stop", "present", "3sg")
    answers = {question.answer for question in ask(stimulus, "conjugate")}
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
def test_kinds_with_a_unique_answer(
    text: str, template: str, cell: tuple[str, str, str], kinds: tuple[str, ...]
) -> None:
    sentence = Sentence(text, template, VerbCell(*cell))  # type: ignore[arg-type]
    assert tuple(kind for kind in NAMING if has_unique_answer(sentence, kind)) == kinds  # type: ignore[arg-type]


def test_kinds_have_several_wordings_that_do_not_reveal_the_answer() -> None:
    icon = Stimulus(VerbCell("eat", "past", "3sg"))
    for stimulus in (icon, page("She ate an apple.", "eat", "past", "3sg")):
        for kind in QUESTION_KINDS if stimulus.sentence else (*NAMING, "caption"):
            questions = ask(stimulus, kind, 200)
            assert len({question.question for question in questions}) >= 4
            for question in questions:
                text = question.question.lower()
                lists_answers = text.count("simple") > 1 or "first, second" in text or "yes or no" in text
                assert lists_answers or question.answer.lower() not in text, question


def test_answers_are_short() -> None:
    for cell in CELLS:
        for kind in NAMING:
            assert len(ask(Stimulus(cell), kind, 1)[0].answer.split()) <= 2
    for kind in MISTAKE_KINDS:
        assert all(len(mistake.right.text) <= 64 for cell in CELLS for mistake in mistakes(cell, kind))


def test_sentence_questions_about_an_icon_are_an_error() -> None:
    for kind in set(FULL_SENTENCE_KINDS) - {"conjugate"} | {"judge"}:
        with pytest.raises(KeyError):
            ask(Stimulus(CELLS[0]), kind, 1)


def test_caption_of_an_icon_and_of_a_page() -> None:
    icon = Stimulus(VerbCell("go", "past", "1sg"))
    assert ask(icon, "caption", 1)[0].answer == "1st person singular past simple of go"
    stimulus = page("I went home.", "go", "past", "1sg", printed="I goed home.")
    assert {question.answer for question in ask(stimulus, "caption")} == {"I goed home."}
