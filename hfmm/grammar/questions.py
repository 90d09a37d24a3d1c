"""Questions about the verb of an icon or a sentence, each with one reference answer.

An answer is one or two words in lower case, or a full sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from hfmm.grammar.captions import TENSE_NAMES, description
from hfmm.grammar.sentences import Sentence, with_verb_group
from hfmm.grammar.verbs import TENSES, Person, Tense, VerbCell, surface_form

if TYPE_CHECKING:
    import numpy as np

QuestionKind = Literal["judge", "tense", "person", "lemma", "transcribe", "correct", "conjugate", "caption"]
Picture = Literal["icon", "page"]

# Ordered so that no answer reveals a later one: a sentence gets at most one of `FULL_SENTENCE_KINDS`, as the last.
QUESTION_KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)
FULL_SENTENCE_KINDS: tuple[QuestionKind, ...] = ("transcribe", "correct", "conjugate")

PERSON_NAMES: dict[Person, str] = {"1sg": "first person", "2sg": "second person", "3sg": "third person"}

_WORDINGS: dict[tuple[Picture, QuestionKind], tuple[str, ...]] = {
    ("icon", "tense"): (
        "Which tense or form does the icon show?",
        "Name the tense or form of the verb.",
        "What does the colour say about the verb?",
        "Infinitive, present simple, past simple, past participle or future simple?",
    ),
    ("icon", "person"): (
        "Which person does the icon show?",
        "Name the person.",
        "What does the shape say about the verb?",
        "First, second or third person?",
    ),
    ("icon", "lemma"): (
        "Which verb does the icon show?",
        "What is the verb?",
        "Read the verb on the icon.",
        "Name the verb in its base form.",
    ),
    ("icon", "conjugate"): (
        "What is the {tense} of this verb in the same person?",
        "Put the verb into the {tense} and keep the person.",
        "Give the form for the same person in the {tense}.",
        "Conjugate the verb for this person: {tense}.",
    ),
    ("icon", "caption"): (
        "Describe the icon.",
        "What does the icon stand for?",
        "Give a short description of the picture.",
        "What is this?",
    ),
    ("page", "tense"): (
        "Which form is the verb in?",
        "Name the tense or form of the verb.",
        "Which form of the verb does the sentence use?",
        "Is the verb an infinitive, a present simple, a past simple, a past participle or a future simple?",
    ),
    ("page", "person"): (
        "Which person is the subject?",
        "Name the person of the subject.",
        "Is the subject in the first, second or third person?",
        "Which person does the verb go with?",
    ),
    ("page", "lemma"): (
        "Which verb does the sentence use? Give its base form.",
        "What is the base form of the verb?",
        "Under which word would a dictionary list the verb?",
        "Name the verb in its base form.",
    ),
    ("page", "transcribe"): (
        "What does the page say? Copy it exactly, mistakes included.",
        "Transcribe the sentence as it stands.",
        "Read the sentence out, word for word.",
        "Write down the sentence without changing anything.",
    ),
    ("page", "judge"): (
        "Is the verb right? Answer yes or no.",
        "Is this sentence correct?",
        "Does the sentence use the verb correctly?",
        "Yes or no: is the verb as it should be?",
    ),
    ("page", "correct"): (
        "Write the sentence as it should be. If nothing is wrong, copy it.",
        "If the verb is wrong, correct it; if not, leave the sentence as it is.",
        "Correct the verb if it needs it, and write out the sentence.",
        "Mend the sentence where necessary, changing nothing but the verb.",
    ),
    ("page", "conjugate"): (
        "Rewrite the sentence in the {tense}.",
        "Put the sentence into the {tense}.",
        "How does the sentence read in the {tense}?",
        "Say the same in the {tense}.",
    ),
    ("page", "caption"): (
        "What is written here?",
        "Read the page.",
        "What does the page say?",
        "Give the text of the picture.",
    ),
}


class Stimulus(NamedTuple):
    """The content of an image: the icon of a cell, or a page with a sentence of the cell.

    ``sentence`` is the correct sentence. A page whose ``printed`` text differs from it contains a mistake.
    """

    cell: VerbCell
    sentence: Sentence | None = None
    printed: str = ""


class QuestionAnswer(NamedTuple):
    """A question with its kind and its reference answer."""

    kind: QuestionKind
    question: str
    answer: str


def make_question(stimulus: Stimulus, kind: QuestionKind, rng: np.random.Generator) -> QuestionAnswer:
    """Return a question about a stimulus in one of the wordings of its kind, with its answer.

    Raises KeyError if the stimulus does not support the kind: an icon has no sentence to transcribe, judge or correct.
    """
    wordings = _WORDINGS["page" if stimulus.sentence else "icon", kind]
    question = wordings[int(rng.integers(len(wordings)))]
    if kind == "conjugate":
        tenses = [tense for tense in TENSES if tense not in ("infinitive", stimulus.cell.tense)]
        tense = tenses[int(rng.integers(len(tenses)))]
        tense_name = "present perfect" if tense == "participle" else TENSE_NAMES[tense]
        return QuestionAnswer(kind, question.format(tense=tense_name), _in_tense(stimulus, tense))
    return QuestionAnswer(kind, question, _answer(stimulus, kind))


def has_unique_answer(sentence: Sentence, kind: QuestionKind) -> bool:
    """Check that a question of a kind about a correct sentence has exactly one answer.

    *Want* is a second verb, a time expression fits one tense only, and *can* has no future.
    """
    if kind == "conjugate" and (sentence.cell.tense == "infinitive" or not sentence.template.startswith("SUBJ")):
        return False
    return "want" not in sentence.template


def _answer(stimulus: Stimulus, kind: QuestionKind) -> str:
    cell, sentence, printed = stimulus
    answers: dict[QuestionKind, str] = {
        "tense": TENSE_NAMES[cell.tense],
        "person": PERSON_NAMES[cell.person],
        "lemma": cell.lemma,
        "caption": printed or description(cell),
    }
    if sentence:
        answers |= {
            "transcribe": printed,
            "judge": "yes" if printed == sentence.text else "no",
            "correct": sentence.text,
        }
    return answers[kind]


def _in_tense(stimulus: Stimulus, tense: Tense) -> str:
    """Return the sentence of a page or the form of an icon in another tense. A participle becomes a present perfect."""
    lemma, _, person = stimulus.cell
    form = surface_form(lemma, tense, person)
    group = f"{surface_form('have', 'present', person)} {form}" if tense == "participle" else form
    return with_verb_group(stimulus.sentence, group) if stimulus.sentence else group
