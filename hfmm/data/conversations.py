"""Conversations about icons and photographed pages: questions on the verb that is seen, with answers to check."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from datasets import ClassLabel, DatasetDict, Features, Image, List, Value
from pydantic import Field

from hfmm.data import icons, pages
from hfmm.data.cells import cells_of_split, turn
from hfmm.data.images import encode
from hfmm.data.synthesis import SPLITS, Split, draw_splits
from hfmm.grammar import CELLS, LEMMAS, PERSONS, TENSES, Cell, surface_form
from hfmm.grammar.mistakes import MISTAKE_KINDS, MistakeKind, mistakes
from hfmm.grammar.questions import QUESTION_KINDS, WHOLE, Exchange, Picture, QuestionKind, Shown, about, askable
from hfmm.grammar.sentences import Sentence, sentences, verb_group
from hfmm.strict import Strict

NAMING: tuple[QuestionKind, ...] = ("tense", "person", "lemma", "conjugate")  # asked where the verb is right
MARKING: tuple[QuestionKind, ...] = ("transcribe", "judge", "correct")  # asked where it may be wrong

DESCRIPTION = (
    "Conversations about English verb forms, seen as icons or as sentences on photographed pages. `messages` and "
    "`images` follow TRL; `kinds` names the kind of each question: tense, person, lemma, conjugate, transcribe, judge "
    "(is the verb right), correct; or caption. `text` is what the picture says, `verb` the verb as it should be. "
    "Where a sentence is transcribed, judged or corrected it is wrong every other time, and `error` says how: "
    "agreement, tense, form or inflection. Each wrong sentence is drawn together with its right one, so that nothing "
    "but the verb tells them apart."
)


class Options(Strict):
    """What `data: {builder: conversations}` takes."""

    content: Literal["questions", "captions"] = Field("questions", description="captions: one a picture, to align with")
    pictures: Literal["both", "icons", "pages"] = "both"
    complements: bool = Field(True, description="false: sentences end with the verb, and 64 pixels suffice")
    turns: int = Field(3, ge=1, le=len(NAMING), description="questions a conversation, at most")
    hold_out: Literal["font", "cell", "row"] = Field(
        "font", description="cell: that of the picture; answers say others"
    )
    train: int = Field(1000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    size: int = Field(128, ge=32, le=1024, description="pixels a side")
    seed: int = Field(0, ge=0)


class Topic(NamedTuple):
    """What a conversation is about: the picture, the question that it leads to, and the mistake that is at issue.

    ``wrong`` says which of a mistake's two sentences the page shows.
    """

    picture: Picture
    kind: QuestionKind
    mistake: MistakeKind | None = None
    wrong: bool = False


def build(options: Options, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits; a row depends on the options, its split and its index, and on nothing else."""
    part = {"type": Value("string"), "text": Value("string")}
    features = Features(
        {
            "id": Value("string"),
            "messages": List({"role": Value("string"), "content": List(part)}),
            "images": List(Image()),
            "kinds": List(Value("string")),
            "picture": Value("string"),
            "lemma": ClassLabel(names=list(LEMMAS)),
            "tense": ClassLabel(names=list(TENSES)),
            "person": ClassLabel(names=list(PERSONS)),
            "text": Value("string"),
            "verb": Value("string"),
            "error": Value("string"),
            "group": Value("string"),
            "font": Value("string"),
        }
    )
    sizes: dict[Split, int] = {"train": options.train, "validation": options.validation, "test": options.test}
    return draw_splits(_rows, options, sizes, features, cache, num_proc)


def _rows(options: Options, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    topics = _topics(options)
    for index in indices:
        topic = topics[turn(options.seed, split, index, len(topics))]
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
        shown = _shown(options, split, index, topic, rng)
        exchanges = [about(shown, kind, rng) for kind in _kinds(options, topic, shown, rng)]
        sources: list[Split] = [split] if options.hold_out == "font" else list(SPLITS)
        font = str(rng.choice([name for source in sources for name in icons.FONTS[source]]))
        if topic.picture == "icon":
            background = str(rng.choice([name for source in sources for name in icons.BACKGROUNDS[source]]))
            image = icons.draw(shown.cell, font, background, options.size, rng)
        else:
            image = pages.draw(shown.printed, font, options.size, rng)
        form = surface_form(*shown.cell)
        yield {
            "id": f"{split}-{index:06d}",
            "messages": _messages(exchanges),
            "images": [encode(image)],
            "kinds": [one.kind for one in exchanges],
            "picture": topic.picture,
            **shown.cell._asdict(),
            "text": shown.printed or f"{icons.PRONOUNS[shown.cell.person]}: {form}",
            "verb": verb_group(shown.sentence) if shown.sentence else form,
            "error": topic.mistake if topic.wrong else "",
            "group": "/".join(shown.cell),
            "font": font,
        }


def _topics(options: Options) -> list[Topic]:
    """Return the topics that come in turn: every kind equally often, and wrong sentences as often as right ones."""
    disputed = [(mistake, wrong) for mistake in MISTAKE_KINDS for wrong in (False, True)]
    marking, naming = (("caption",), ()) if options.content == "captions" else (MARKING, NAMING)
    topics = [Topic("page", kind, *one) for kind in marking for one in disputed]
    topics += [Topic("page", kind) for kind in naming for _ in disputed]
    topics += [Topic("icon", kind) for kind in naming or marking for _ in disputed]
    return [one for one in topics if options.pictures in ("both", f"{one.picture}s")]


def _shown(options: Options, split: Split, index: int, topic: Topic, rng: np.random.Generator) -> Shown:
    """Return what the picture of a row shows, of a cell whose turn it is among those that the topic can be about."""
    cells = _cells(options.seed, split if options.hold_out == "cell" else None, topic)
    cell = cells[turn(options.seed, split, index, len(cells))]
    if topic.picture == "icon":
        return Shown(cell)
    if topic.mistake:
        found = mistakes(cell, topic.mistake, options.complements)
        one = found[int(rng.integers(len(found)))]
        return Shown(cell, one.right, one.wrong if topic.wrong else one.right.text)
    choices = _askable(cell, topic.kind, options.complements)
    sentence = choices[int(rng.integers(len(choices)))]
    return Shown(cell, sentence, sentence.text)


@lru_cache
def _cells(seed: int, split: Split | None, topic: Topic) -> tuple[Cell, ...]:
    cells = cells_of_split(seed, split) if split else CELLS
    if topic.mistake:
        return tuple(cell for cell in cells if mistakes(cell, topic.mistake))
    return tuple(cell for cell in cells if topic.picture == "icon" or _askable(cell, topic.kind))


def _askable(cell: Cell, kind: QuestionKind, complements: bool = True) -> tuple[Sentence, ...]:
    return tuple(one for one in sentences(cell, complements) if askable(one, kind))


def _kinds(options: Options, topic: Topic, shown: Shown, rng: np.random.Generator) -> list[QuestionKind]:
    """Return the kinds of a conversation's questions, in the order in which they are asked."""
    pool = next((pool for pool in (NAMING, MARKING) if topic.kind in pool), (topic.kind,))
    if topic.kind in NAMING and shown.sentence:
        pool = tuple(kind for kind in NAMING if askable(shown.sentence, kind))
    kinds = [topic.kind]
    count = int(rng.integers(1, options.turns + 1))
    for place in rng.permutation(len(pool)):
        kind = pool[place]
        twice = kind in kinds or (kind in WHOLE and not set(kinds).isdisjoint(WHOLE))
        if len(kinds) < count and not twice:
            kinds.append(kind)
    return sorted(kinds, key=QUESTION_KINDS.index)


def _messages(exchanges: list[Exchange]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for one in exchanges:
        messages.append({"role": "user", "content": [{"type": "text", "text": one.question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": one.answer}]})
    messages[0]["content"].insert(0, {"type": "image", "text": None})
    return messages
