"""Conversations about icons and photographed pages: questions about the verb, with answers that can be checked."""

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
    "Conversations about English verb forms, shown as icons or as sentences on photographed pages. `messages` and "
    "`images` follow TRL. `kinds` names the kind of each question: tense, person, lemma, conjugate, transcribe, judge "
    "(is the verb right), correct or caption. `text` is the text of the image, `verb` the correct verb. Half of the "
    "sentences to transcribe, judge or correct are wrong, and `error` names the mistake: agreement, tense, form or "
    "inflection. A wrong sentence and its correction differ only in the verb."
)


class VisualQuestionsOptions(StrictModel):
    """Options of `data: {builder: visual_questions}`."""

    content: Literal["questions", "captions", "both"] = Field(
        "questions",
        description="captions: one per image, for alignment; both: questions, and training rows end with a caption",
    )
    image_kinds: Pictures = "both"
    full_sentences: bool = Field(True, description="false: sentences end with the verb, so that a size of 64 is enough")
    turns: int = Field(
        3, ge=1, le=len(RECOGNITION_QUESTIONS), description="maximum number of questions per conversation"
    )
    hold_out: Literal["font", "cell", "row"] = Field(
        "font", description="cell: the cell of the image; answers may name other cells"
    )
    train: int = Field(1000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    size: int = Field(128, ge=32, le=1024, description="side length in pixels")
    seed: int = Field(0, ge=0)


OPTIONS = VisualQuestionsOptions


def build(options: VisualQuestionsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits. Each row depends only on the options, its split and its index."""
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
    plans = question_plans(options.content == "captions", options.image_kinds)
    for index in indices:
        plan = plans[balanced_index(options.seed, split, index, len(plans))]
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
        stimulus = choose_stimulus(
            plan, options.seed, split, index, options.hold_out == "cell", options.full_sentences, rng
        )
        kinds = choose_question_kinds(plan, stimulus, options.turns, rng)
        if options.content == "both" and split == "train":
            kinds.append("caption")
        exchanges = [make_question(stimulus, kind, rng) for kind in kinds]
        sources: list[Split] = [split] if options.hold_out == "font" else list(SPLITS)
        font = str(rng.choice([name for source in sources for name in icons.FONTS[source]]))
        if plan.picture == "icon":
            background = str(rng.choice([name for source in sources for name in icons.BACKGROUNDS[source]]))
            image = icons.draw(stimulus.cell, font, background, options.size, rng)
        else:
            image = pages.draw(stimulus.printed, font, options.size, rng)
        form = surface_form(*stimulus.cell)
        yield {
            "id": f"{split}-{index:06d}",
            "messages": build_image_messages((exchange.question, exchange.answer) for exchange in exchanges),
            "images": [encode(image)],
            "kinds": [exchange.kind for exchange in exchanges],
            "picture": plan.picture,
            **stimulus.cell._asdict(),
            "text": stimulus.printed or f"{icons.PRONOUNS[stimulus.cell.person]}: {form}",
            "verb": verb_group(stimulus.sentence) if stimulus.sentence else form,
            "error": plan.mistake if plan.wrong else "",
            "group": "/".join(stimulus.cell),
            "font": font,
        }
