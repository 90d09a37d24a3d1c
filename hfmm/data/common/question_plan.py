"""Plan the questions of a conversation: the image, the cell that it shows, a possible mistake and the questions."""

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

# Asked about correct sentences only.
RECOGNITION_QUESTIONS: tuple[QuestionKind, ...] = ("tense", "person", "lemma", "conjugate")
# Asked about correct and wrong sentences.
CORRECTION_QUESTIONS: tuple[QuestionKind, ...] = ("transcribe", "judge", "correct")

Pictures = Literal["both", "icons", "pages"]


class QuestionPlan(NamedTuple):
    """The plan of a conversation: the kind of image, the kind of its main question, and the kind of mistake.

    ``wrong`` says whether the page shows the wrong or the correct sentence of the mistake.
    """

    picture: Picture
    kind: QuestionKind
    mistake: MistakeKind | None = None
    wrong: bool = False


def question_plans(captions: bool, pictures: Pictures) -> list[QuestionPlan]:
    """Return the plans that rows cycle through: each kind equally often, and as many wrong as correct sentences.

    With ``captions`` every conversation describes the image instead of asking questions.
    """
    variants = [(mistake, wrong) for mistake in MISTAKE_KINDS for wrong in (False, True)]
    correction, recognition = (("caption",), ()) if captions else (CORRECTION_QUESTIONS, RECOGNITION_QUESTIONS)
    plans = [QuestionPlan("page", kind, *variant) for kind in correction for variant in variants]
    plans += [QuestionPlan("page", kind) for kind in recognition for _ in variants]
    plans += [QuestionPlan("icon", kind) for kind in recognition or correction for _ in variants]
    return [plan for plan in plans if pictures in ("both", f"{plan.picture}s")]


def choose_stimulus(
    plan: QuestionPlan,
    seed: int,
    split: Split,
    index: int,
    held_out: bool,
    full_sentences: bool,
    rng: np.random.Generator,
) -> Stimulus:
    """Return what the image of a row shows. The cells that fit the plan are used equally often.

    With ``held_out`` each split has its own cells.
    """
    cells = _cells(seed, split if held_out else None, plan)
    cell = cells[balanced_index(seed, split, index, len(cells))]
    if plan.picture == "icon":
        return Stimulus(cell)
    if plan.mistake:
        candidates = mistakes(cell, plan.mistake, full_sentences)
        mistake = candidates[int(rng.integers(len(candidates)))]
        return Stimulus(cell, mistake.right, mistake.wrong if plan.wrong else mistake.right.text)
    choices = _sentences_for_kind(cell, plan.kind, full_sentences)
    sentence = choices[int(rng.integers(len(choices)))]
    return Stimulus(cell, sentence, sentence.text)


def choose_question_kinds(
    plan: QuestionPlan, stimulus: Stimulus, turns: int, rng: np.random.Generator, fewest: int = 1
) -> list[QuestionKind]:
    """Return the kinds of a conversation's questions, in the order in which they are asked.

    The conversation has ``fewest`` to ``turns`` questions of kinds that can be combined.
    """
    pool = next((pool for pool in (RECOGNITION_QUESTIONS, CORRECTION_QUESTIONS) if plan.kind in pool), (plan.kind,))
    if plan.kind in RECOGNITION_QUESTIONS and stimulus.sentence:
        pool = tuple(kind for kind in RECOGNITION_QUESTIONS if has_unique_answer(stimulus.sentence, kind))
    kinds = [plan.kind]
    count = int(rng.integers(fewest, turns + 1))
    for index in rng.permutation(len(pool)):
        kind = pool[index]
        repeated = kind in kinds or (kind in FULL_SENTENCE_KINDS and not set(kinds).isdisjoint(FULL_SENTENCE_KINDS))
        if len(kinds) < count and not repeated:
            kinds.append(kind)
    return sorted(kinds, key=QUESTION_KINDS.index)


@lru_cache
def _cells(seed: int, split: Split | None, plan: QuestionPlan) -> tuple[VerbCell, ...]:
    cells = cells_in_split(seed, split) if split else CELLS
    if plan.mistake:
        return tuple(cell for cell in cells if mistakes(cell, plan.mistake))
    return tuple(cell for cell in cells if plan.picture == "icon" or _sentences_for_kind(cell, plan.kind))


def _sentences_for_kind(cell: VerbCell, kind: QuestionKind, full_sentences: bool = True) -> tuple[Sentence, ...]:
    return tuple(sentence for sentence in sentences(cell, full_sentences) if has_unique_answer(sentence, kind))
