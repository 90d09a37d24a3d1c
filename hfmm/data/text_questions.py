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

from hfmm.data.common.generate import SPLITS, Split, generate_splits
from hfmm.data.common.question_plan import choose_question_kinds, choose_stimulus, question_plans
from hfmm.data.common.verb_cells import balanced_index
from hfmm.data.icons import SHAPES
from hfmm.grammar import Tense, VerbCell
from hfmm.grammar.open_vocabulary import has_unambiguous_tense, open_vocabulary_sentences
from hfmm.grammar.questions import QuestionAnswer, QuestionKind, Stimulus, make_question
from hfmm.grammar.sentences import Sentence, verb_group
from hfmm.recipe.validation import StrictModel

COLOURS: dict[Tense, str] = {
    "infinitive": "grey",
    "present": "blue",
    "past": "red",
    "participle": "green",
    "future": "purple",
}
OUT_OF_VOCABULARY_QUESTIONS: tuple[QuestionKind, ...] = ("tense", "person", "lemma")

DESCRIPTION = (
    "Questions about English verb forms with the sentence in words, or an icon in words: `a red circle with the word "
    "go`. `messages` follows TRL; `kinds` names the kind of each question: tense, person, lemma, conjugate, "
    "transcribe, judge (is the verb right), correct, caption. Some of the training rows are about sentences with none "
    "of the 20 verbs. Test shows cells that training does not."
)


class TextQuestionsOptions(StrictModel):
    """What `data: {builder: text_questions}` takes."""

    turns: int = Field(4, ge=1, le=4, description="questions a conversation, where so many can be asked together")
    captions: float = Field(0.1, ge=0, le=1, description="share of the rows in which a picture is described")
    outside: float = Field(0.3, ge=0, le=1, description="share of training rows with none of the 20 verbs")
    train: int = Field(40_000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    seed: int = Field(0, ge=0)


OPTIONS = TextQuestionsOptions


def build(options: TextQuestionsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
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
    return generate_splits(_rows, options, features, cache, num_proc)


def _rows(options: TextQuestionsOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    questions, captions = (question_plans(described, "both") for described in (False, True))
    for index in indices:
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
        error = ""
        if split == "train" and rng.random() < options.outside:
            one, asked = _out_of_vocabulary_example(options, rng)
        else:
            choices = captions if rng.random() < options.captions else questions
            topic = choices[balanced_index(options.seed, split, index, len(choices))]
            one = choose_stimulus(
                topic, options.seed, split, index, held_out=True, full_sentences=rng.random() < 0.5, rng=rng
            )
            asked = choose_question_kinds(topic, one, options.turns, rng, fewest=options.turns)
            error = topic.mistake if topic.mistake and topic.wrong else ""
        exchanges = [make_question(one, kind, rng) for kind in asked]
        first = one.printed or describe_icon(one.cell)
        yield {
            "id": f"{split}-{index:06d}",
            "messages": _messages(first, exchanges),
            "kinds": [exchange.kind for exchange in exchanges],
            "text": first,
            "verb": verb_group(one.sentence) if one.sentence and one.sentence.template else "",
            "error": error,
            "group": "/".join(one.cell),
        }


def describe_icon(cell: VerbCell) -> str:
    """Return what an icon of a cell looks like."""
    return f"a {COLOURS[cell.tense]} {SHAPES[cell.person]} with the word {cell.lemma}"


def _out_of_vocabulary_example(
    options: TextQuestionsOptions, rng: np.random.Generator
) -> tuple[Stimulus, list[QuestionKind]]:
    """Return a sentence with none of the 20 verbs and what is asked of it."""
    cell, text = open_vocabulary_sentences()[int(rng.integers(len(open_vocabulary_sentences())))]
    if not has_unambiguous_tense(cell, text):
        return Stimulus(cell, Sentence(text, "", cell), text), ["transcribe"]
    pool: tuple[QuestionKind, ...] = (*OUT_OF_VOCABULARY_QUESTIONS, "transcribe")
    chosen = {pool[place] for place in rng.permutation(len(pool))[: options.turns]}
    return Stimulus(cell, Sentence(text, "", cell), text), [kind for kind in pool if kind in chosen]


def _messages(first: str, exchanges: list[QuestionAnswer]) -> list[dict[str, str]]:
    messages = []
    for one in exchanges:
        messages.append({"role": "user", "content": one.question})
        messages.append({"role": "assistant", "content": one.answer})
    messages[0]["content"] = f"{first}\n{messages[0]['content']}"
    return messages
