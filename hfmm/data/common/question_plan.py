"""What a conversation is about: a cell, how it is shown, the mistake in it, and the questions that are asked of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from hfmm.data.common.generate import Split
from hfmm.data.common.verb_cells import balanced_index, cells_in_split
from hfmm.grammar import CELLS, VerbCell
from hfmm.grammar.mistakes import MISTAKE_KINDS, MistakeKind, mistakes
from hfmm.grammar.questions import (
    FULL_SENTENCE_KINDS,
    QUESTION_KINDS,
    Picture,
    QuestionKind,
    Stimulus,
    has_unique_answer,
)
from hfmm.grammar.sentences import Sentence, sentences

RECOGNITION_QUESTIONS: tuple[QuestionKind, ...] = (
    "tense",
    "person",
    "lemma",
    "conjugate",
)  # asked where the verb is right
CORRECTION_QUESTIONS: tuple[QuestionKind, ...] = ("transcribe", "judge", "correct")  # asked where it may be wrong

Pictures = Literal["both", "icons", "pages"]


class QuestionPlan(NamedTuple):
    """What a conversation is about: the picture, the question that it leads to, and the mistake that is at issue.

    ``wrong`` says which of a mistake's two sentences the page shows.
    """

    picture: Picture
    kind: QuestionKind
    mistake: MistakeKind | None = None
    wrong: bool = False


def question_plans(captions: bool, pictures: Pictures) -> list[QuestionPlan]:
    """Return the topics that come in turn: every kind equally often, and wrong sentences as often as right ones.

    With ``captions`` a picture is described and nothing is asked of it.
    """
    disputed = [(mistake, wrong) for mistake in MISTAKE_KINDS for wrong in (False, True)]
    marking, naming = (("caption",), ()) if captions else (CORRECTION_QUESTIONS, RECOGNITION_QUESTIONS)
    found = [QuestionPlan("page", kind, *one) for kind in marking for one in disputed]
    found += [QuestionPlan("page", kind) for kind in naming for _ in disputed]
    found += [QuestionPlan("icon", kind) for kind in naming or marking for _ in disputed]
    return [one for one in found if pictures in ("both", f"{one.picture}s")]


def choose_stimulus(
    topic: QuestionPlan,
    seed: int,
    split: Split,
    index: int,
    held_out: bool,
    full_sentences: bool,
    rng: np.random.Generator,
) -> Stimulus:
    """Return what the picture of a row shows, of a cell whose turn it is among those that the topic can be about.

    ``held_out`` says whether a split has its cells to itself.
    """
    cells = _cells(seed, split if held_out else None, topic)
    cell = cells[balanced_index(seed, split, index, len(cells))]
    if topic.picture == "icon":
        return Stimulus(cell)
    if topic.mistake:
        found = mistakes(cell, topic.mistake, full_sentences)
        one = found[int(rng.integers(len(found)))]
        return Stimulus(cell, one.right, one.wrong if topic.wrong else one.right.text)
    choices = _askable(cell, topic.kind, full_sentences)
    sentence = choices[int(rng.integers(len(choices)))]
    return Stimulus(cell, sentence, sentence.text)


def choose_question_kinds(
    topic: QuestionPlan, about: Stimulus, turns: int, rng: np.random.Generator, fewest: int = 1
) -> list[QuestionKind]:
    """Return the kinds of a conversation's questions in the order in which they are asked.

    They are ``fewest`` to ``turns`` of those that can be asked together.
    """
    pool = next((pool for pool in (RECOGNITION_QUESTIONS, CORRECTION_QUESTIONS) if topic.kind in pool), (topic.kind,))
    if topic.kind in RECOGNITION_QUESTIONS and about.sentence:
        pool = tuple(kind for kind in RECOGNITION_QUESTIONS if has_unique_answer(about.sentence, kind))
    found = [topic.kind]
    count = int(rng.integers(fewest, turns + 1))
    for place in rng.permutation(len(pool)):
        kind = pool[place]
        twice = kind in found or (kind in FULL_SENTENCE_KINDS and not set(found).isdisjoint(FULL_SENTENCE_KINDS))
        if len(found) < count and not twice:
            found.append(kind)
    return sorted(found, key=QUESTION_KINDS.index)


@lru_cache
def _cells(seed: int, split: Split | None, topic: QuestionPlan) -> tuple[VerbCell, ...]:
    cells = cells_in_split(seed, split) if split else CELLS
    if topic.mistake:
        return tuple(cell for cell in cells if mistakes(cell, topic.mistake))
    return tuple(cell for cell in cells if topic.picture == "icon" or _askable(cell, topic.kind))


def _askable(cell: VerbCell, kind: QuestionKind, full_sentences: bool = True) -> tuple[Sentence, ...]:
    return tuple(one for one in sentences(cell, full_sentences) if has_unique_answer(one, kind))
