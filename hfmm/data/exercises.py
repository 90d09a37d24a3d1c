"""Exercises: the questions of `conversations` about sentences and icons in words, for a model that sees no pictures.

What stands on the first line of a conversation is what a picture would show. The cells of the verb grid are split as
`conversations` splits them with ``hold_out: cell``, and no sentence of a test cell is shown in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict, Features, List, Value
from pydantic import Field

from hfmm.data.cells import turn
from hfmm.data.icons import SHAPES
from hfmm.data.synthesis import SPLITS, Split, draw_splits
from hfmm.data.topics import kinds, shown, topics
from hfmm.grammar import Cell, Tense
from hfmm.grammar.outside import outside_sentences, says_its_tense
from hfmm.grammar.questions import Exchange, QuestionKind, Shown, about
from hfmm.grammar.sentences import Sentence, verb_group
from hfmm.strict import Strict

COLOURS: dict[Tense, str] = {
    "infinitive": "grey",
    "present": "blue",
    "past": "red",
    "participle": "green",
    "future": "purple",
}
OUTSIDE_NAMING: tuple[QuestionKind, ...] = ("tense", "person", "lemma")

DESCRIPTION = (
    "Questions about English verb forms with the sentence in words, or an icon in words: `a red circle with the word "
    "go`. `messages` follows TRL; `kinds` names the kind of each question: tense, person, lemma, conjugate, "
    "transcribe, judge (is the verb right), correct, caption. Some of the training rows are about sentences with none "
    "of the 20 verbs. Test shows cells that training does not."
)


class Options(Strict):
    """What `data: {builder: exercises}` takes."""

    turns: int = Field(4, ge=1, le=4, description="questions a conversation, where so many can be asked together")
    captions: float = Field(0.1, ge=0, le=1, description="share of the rows in which a picture is described")
    outside: float = Field(0.3, ge=0, le=1, description="share of training rows with none of the 20 verbs")
    train: int = Field(40_000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    seed: int = Field(0, ge=0)


def build(options: Options, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Write the three splits; a row depends on the options, its split and its index, and on nothing else."""
    text = Value("string")
    features = Features(
        {
            "id": text,
            "messages": List({"role": text, "content": text}),
            "kinds": List(text),
            "text": text,
            "verb": text,
            "error": text,
            "group": text,
        }
    )
    return draw_splits(_rows, options, features, cache, num_proc)


def _rows(options: Options, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    questions, captions = (topics(described, "both") for described in (False, True))
    for index in indices:
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
        error = ""
        if split == "train" and rng.random() < options.outside:
            one, asked = _outside(options, rng)
        else:
            choices = captions if rng.random() < options.captions else questions
            topic = choices[turn(options.seed, split, index, len(choices))]
            one = shown(topic, options.seed, split, index, held_out=True, complements=rng.random() < 0.5, rng=rng)
            asked = kinds(topic, one, options.turns, rng, fewest=options.turns)
            error = topic.mistake if topic.mistake and topic.wrong else ""
        exchanges = [about(one, kind, rng) for kind in asked]
        first = one.printed or icon_in_words(one.cell)
        yield {
            "id": f"{split}-{index:06d}",
            "messages": _messages(first, exchanges),
            "kinds": [exchange.kind for exchange in exchanges],
            "text": first,
            "verb": verb_group(one.sentence) if one.sentence and one.sentence.template else "",
            "error": error,
            "group": "/".join(one.cell),
        }


def icon_in_words(cell: Cell) -> str:
    """Return what an icon of a cell looks like."""
    return f"a {COLOURS[cell.tense]} {SHAPES[cell.person]} with the word {cell.lemma}"


def _outside(options: Options, rng: np.random.Generator) -> tuple[Shown, list[QuestionKind]]:
    """Return a sentence with none of the 20 verbs and what is asked of it."""
    cell, text = outside_sentences()[int(rng.integers(len(outside_sentences())))]
    if not says_its_tense(cell, text):
        return Shown(cell, Sentence(text, "", cell), text), ["transcribe"]
    pool: tuple[QuestionKind, ...] = (*OUTSIDE_NAMING, "transcribe")
    chosen = {pool[place] for place in rng.permutation(len(pool))[: options.turns]}
    return Shown(cell, Sentence(text, "", cell), text), [kind for kind in pool if kind in chosen]


def _messages(first: str, exchanges: list[Exchange]) -> list[dict[str, str]]:
    messages = []
    for one in exchanges:
        messages.append({"role": "user", "content": one.question})
        messages.append({"role": "assistant", "content": one.answer})
    messages[0]["content"] = f"{first}\n{messages[0]['content']}"
    return messages
