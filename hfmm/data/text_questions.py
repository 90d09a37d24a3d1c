"""Text-only questions: those of `visual_questions` about sentences and about icons described in words.

The first line of a conversation is the text that an image would show. The cells of the verb grid are split like those
of `visual_questions` with ``hold_out: cell``. No sentence of a test cell occurs in training.
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
    "Questions about English verb forms in a sentence or in an icon described in words (`a red circle with the word "
    "go`). `messages` follows TRL. `kinds` names the kind of each question: tense, person, lemma, conjugate, "
    "transcribe, judge (is the verb right), correct, caption. Some training rows are about sentences without the 20 "
    "verbs. The test split has cells that are not in training."
)


class TextQuestionsOptions(StrictModel):
    """Options of `data: {builder: text_questions}`."""

    turns: int = Field(4, ge=1, le=4, description="questions per conversation, if that many can be asked together")
    captions: float = Field(0.1, ge=0, le=1, description="fraction of the rows that ask for a description")
    outside: float = Field(0.3, ge=0, le=1, description="fraction of the training rows without the 20 verbs")
    train: int = Field(40_000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    seed: int = Field(0, ge=0)


OPTIONS = TextQuestionsOptions


def build(options: TextQuestionsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Generate the three splits. Each row depends only on the options, its split and its index."""
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
    questions, captions = (question_plans(is_caption, "both") for is_caption in (False, True))
    for index in indices:
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
        error = ""
        if split == "train" and rng.random() < options.outside:
            stimulus, kinds = _out_of_vocabulary_example(options, rng)
        else:
            plans = captions if rng.random() < options.captions else questions
            plan = plans[balanced_index(options.seed, split, index, len(plans))]
            stimulus = choose_stimulus(
                plan, options.seed, split, index, held_out=True, full_sentences=rng.random() < 0.5, rng=rng
            )
            kinds = choose_question_kinds(plan, stimulus, options.turns, rng, fewest=options.turns)
            error = plan.mistake if plan.mistake and plan.wrong else ""
        exchanges = [make_question(stimulus, kind, rng) for kind in kinds]
        text = stimulus.printed or describe_icon(stimulus.cell)
        sentence = stimulus.sentence
        yield {
            "id": f"{split}-{index:06d}",
            "messages": _messages(text, exchanges),
            "kinds": [exchange.kind for exchange in exchanges],
            "text": text,
            "verb": verb_group(sentence) if sentence and sentence.template else "",
            "error": error,
            "group": "/".join(stimulus.cell),
        }


def describe_icon(cell: VerbCell) -> str:
    """Return a description of the icon of a cell."""
    return f"a {COLOURS[cell.tense]} {SHAPES[cell.person]} with the word {cell.lemma}"


def _out_of_vocabulary_example(
    options: TextQuestionsOptions, rng: np.random.Generator
) -> tuple[Stimulus, list[QuestionKind]]:
    """Return a sentence without the 20 verbs and the kinds of its questions."""
    cell, text = open_vocabulary_sentences()[int(rng.integers(len(open_vocabulary_sentences())))]
    stimulus = Stimulus(cell, Sentence(text, "", cell), text)
    if not has_unambiguous_tense(cell, text):
        return stimulus, ["transcribe"]
    pool: tuple[QuestionKind, ...] = (*OUT_OF_VOCABULARY_QUESTIONS, "transcribe")
    chosen = {pool[index] for index in rng.permutation(len(pool))[: options.turns]}
    return stimulus, [kind for kind in pool if kind in chosen]


def _messages(text: str, exchanges: list[QuestionAnswer]) -> list[dict[str, str]]:
    messages = []
    for exchange in exchanges:
        messages.append({"role": "user", "content": exchange.question})
        messages.append({"role": "assistant", "content": exchange.answer})
    messages[0]["content"] = f"{text}\n{messages[0]['content']}"
    return messages
