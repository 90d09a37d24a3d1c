"""What a conversation is about: a cell, how it is shown, the mistake in it, and the questions that are asked of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from hfmm.data.cells import cells_of_split, turn
from hfmm.data.synthesis import Split
from hfmm.grammar import CELLS, Cell
from hfmm.grammar.mistakes import MISTAKE_KINDS, MistakeKind, mistakes
from hfmm.grammar.questions import QUESTION_KINDS, WHOLE, Picture, QuestionKind, Shown, askable
from hfmm.grammar.sentences import Sentence, sentences

NAMING: tuple[QuestionKind, ...] = ("tense", "person", "lemma", "conjugate")  # asked where the verb is right
MARKING: tuple[QuestionKind, ...] = ("transcribe", "judge", "correct")  # asked where it may be wrong

Pictures = Literal["both", "icons", "pages"]


class Topic(NamedTuple):
    """What a conversation is about: the picture, the question that it leads to, and the mistake that is at issue.

    ``wrong`` says which of a mistake's two sentences the page shows.
    """

    picture: Picture
    kind: QuestionKind
    mistake: MistakeKind | None = None
    wrong: bool = False


def topics(captions: bool, pictures: Pictures) -> list[Topic]:
    """Return the topics that come in turn: every kind equally often, and wrong sentences as often as right ones.

    With ``captions`` a picture is described and nothing is asked of it.
    """
    disputed = [(mistake, wrong) for mistake in MISTAKE_KINDS for wrong in (False, True)]
    marking, naming = (("caption",), ()) if captions else (MARKING, NAMING)
    found = [Topic("page", kind, *one) for kind in marking for one in disputed]
    found += [Topic("page", kind) for kind in naming for _ in disputed]
    found += [Topic("icon", kind) for kind in naming or marking for _ in disputed]
    return [one for one in found if pictures in ("both", f"{one.picture}s")]


def shown(
    topic: Topic, seed: int, split: Split, index: int, held_out: bool, complements: bool, rng: np.random.Generator
) -> Shown:
    """Return what the picture of a row shows, of a cell whose turn it is among those that the topic can be about.

    ``held_out`` says whether a split has its cells to itself.
    """
    cells = _cells(seed, split if held_out else None, topic)
    cell = cells[turn(seed, split, index, len(cells))]
    if topic.picture == "icon":
        return Shown(cell)
    if topic.mistake:
        found = mistakes(cell, topic.mistake, complements)
        one = found[int(rng.integers(len(found)))]
        return Shown(cell, one.right, one.wrong if topic.wrong else one.right.text)
    choices = _askable(cell, topic.kind, complements)
    sentence = choices[int(rng.integers(len(choices)))]
    return Shown(cell, sentence, sentence.text)


def kinds(topic: Topic, about: Shown, turns: int, rng: np.random.Generator, fewest: int = 1) -> list[QuestionKind]:
    """Return the kinds of a conversation's questions in the order in which they are asked.

    They are ``fewest`` to ``turns`` of those that can be asked together.
    """
    pool = next((pool for pool in (NAMING, MARKING) if topic.kind in pool), (topic.kind,))
    if topic.kind in NAMING and about.sentence:
        pool = tuple(kind for kind in NAMING if askable(about.sentence, kind))
    found = [topic.kind]
    count = int(rng.integers(fewest, turns + 1))
    for place in rng.permutation(len(pool)):
        kind = pool[place]
        twice = kind in found or (kind in WHOLE and not set(found).isdisjoint(WHOLE))
        if len(found) < count and not twice:
            found.append(kind)
    return sorted(found, key=QUESTION_KINDS.index)


@lru_cache
def _cells(seed: int, split: Split | None, topic: Topic) -> tuple[Cell, ...]:
    cells = cells_of_split(seed, split) if split else CELLS
    if topic.mistake:
        return tuple(cell for cell in cells if mistakes(cell, topic.mistake))
    return tuple(cell for cell in cells if topic.picture == "icon" or _askable(cell, topic.kind))


def _askable(cell: Cell, kind: QuestionKind, complements: bool = True) -> tuple[Sentence, ...]:
    return tuple(one for one in sentences(cell, complements) if askable(one, kind))
