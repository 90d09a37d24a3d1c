"""Conversations about icons and photographed pages: questions on the verb that is seen, with answers to check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import ClassLabel, DatasetDict, Features, Image, List, Value
from pydantic import Field

from hfmm.data import icons, pages
from hfmm.data.common.generate import SPLITS, Split, generate_splits
from hfmm.data.common.images import encode
from hfmm.data.common.messages import MESSAGES_FEATURE, build_image_messages
from hfmm.data.common.question_plan import (
    RECOGNITION_QUESTIONS,
    Pictures,
    choose_question_kinds,
    choose_stimulus,
    question_plans,
)
from hfmm.data.common.verb_cells import balanced_index
from hfmm.grammar import LEMMAS, PERSONS, TENSES, surface_form
from hfmm.grammar.questions import make_question
from hfmm.grammar.sentences import verb_group
from hfmm.recipe.validation import StrictModel

DESCRIPTION = (
    "Conversations about English verb forms, seen as icons or as sentences on photographed pages. `messages` and "
    "`images` follow TRL; `kinds` names the kind of each question: tense, person, lemma, conjugate, transcribe, judge "
    "(is the verb right), correct; or caption. `text` is what the picture says, `verb` the verb as it should be. "
    "Where a sentence is transcribed, judged or corrected it is wrong every other time, and `error` says how: "
    "agreement, tense, form or inflection. Each wrong sentence is drawn together with its right one, so that nothing "
    "but the verb tells them apart."
)


class VisualQuestionsOptions(StrictModel):
    """What `data: {builder: visual_questions}` takes."""

    content: Literal["questions", "captions", "both"] = Field(
        "questions",
        description="captions: one a picture, to align with; both: questions, and each training row ends with one",
    )
    image_kinds: Pictures = "both"
    full_sentences: bool = Field(True, description="false: sentences end with the verb, and 64 pixels suffice")
    turns: int = Field(3, ge=1, le=len(RECOGNITION_QUESTIONS), description="questions a conversation, at most")
    hold_out: Literal["font", "cell", "row"] = Field(
        "font", description="cell: that of the picture; answers say others"
    )
    train: int = Field(1000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    size: int = Field(128, ge=32, le=1024, description="pixels a side")
    seed: int = Field(0, ge=0)


OPTIONS = VisualQuestionsOptions


def build(options: VisualQuestionsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits; a row depends on the options, its split and its index, and on nothing else."""
    features = Features(
        {
            "id": Value("string"),
            "messages": MESSAGES_FEATURE,
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
    return generate_splits(_rows, options, features, cache, num_proc)


def _rows(options: VisualQuestionsOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    choices = question_plans(options.content == "captions", options.image_kinds)
    for index in indices:
        topic = choices[balanced_index(options.seed, split, index, len(choices))]
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
        one = choose_stimulus(
            topic, options.seed, split, index, options.hold_out == "cell", options.full_sentences, rng
        )
        asked = choose_question_kinds(topic, one, options.turns, rng)
        if options.content == "both" and split == "train":
            asked.append("caption")
        exchanges = [make_question(one, kind, rng) for kind in asked]
        sources: list[Split] = [split] if options.hold_out == "font" else list(SPLITS)
        font = str(rng.choice([name for source in sources for name in icons.FONTS[source]]))
        if topic.picture == "icon":
            background = str(rng.choice([name for source in sources for name in icons.BACKGROUNDS[source]]))
            image = icons.draw(one.cell, font, background, options.size, rng)
        else:
            image = pages.draw(one.printed, font, options.size, rng)
        form = surface_form(*one.cell)
        yield {
            "id": f"{split}-{index:06d}",
            "messages": build_image_messages((one.question, one.answer) for one in exchanges),
            "images": [encode(image)],
            "kinds": [exchange.kind for exchange in exchanges],
            "picture": topic.picture,
            **one.cell._asdict(),
            "text": one.printed or f"{icons.PRONOUNS[one.cell.person]}: {form}",
            "verb": verb_group(one.sentence) if one.sentence else form,
            "error": topic.mistake if topic.wrong else "",
            "group": "/".join(one.cell),
            "font": font,
        }
