"""Pages and pictures to learn reading from: sentences outside the 20 verbs and made-up words, each to be written down.

A page holds one to five words, so that the first letters are large; every fourth picture is one of `words`, so that
shapes and colours are not forgotten. The fonts are none of those that icons and pages hold out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict, Features, Image, List, Value
from PIL import Image as Pillow
from pydantic import Field

from hfmm.data import pages, pseudowords
from hfmm.data.common.generate import SPLITS, Split, generate_splits
from hfmm.data.common.images import encode
from hfmm.data.common.messages import MESSAGES_FEATURE, build_image_messages
from hfmm.grammar.captions import as_sentence
from hfmm.grammar.open_vocabulary import open_vocabulary_sentences
from hfmm.recipe.validation import StrictModel

LONGEST = 5  # words on a page of 64 pixels that are still legible
SHAPE_FRACTION = 0.25  # share of the rows that show a word on a shape
QUESTIONS = {
    "transcribe": (
        "What is written here?",
        "Read the page.",
        "What does the page say?",
        "Give the text of the picture.",
    ),
    "caption": ("What is this?", "Describe the picture.", "What does the picture show?"),
}

DESCRIPTION = (
    "Photographed pages with sentences of other verbs than the 20 or with made-up words, and made-up words on coloured "
    "shapes, in many fonts. `messages` and `images` follow TRL: the text is to be written down (`kinds`: transcribe), "
    "or the picture described (caption)."
)


class PageOcrOptions(StrictModel):
    """What `data: {builder: page_ocr}` takes."""

    train: int = Field(100_000, ge=1)
    validation: int = Field(500, ge=1)
    test: int = Field(1000, ge=1)
    size: int = Field(64, ge=32, le=1024, description="pixels a side")
    seed: int = Field(0, ge=0)


OPTIONS = PageOcrOptions


def build(options: PageOcrOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits; a row depends on the options, its split and its index, and on nothing else.

    Raises UserError where the fonts of the extra `pretrain` are missing.
    """
    pseudowords.fonts()
    features = Features(
        {
            "id": Value("string"),
            "messages": MESSAGES_FEATURE,
            "images": List(Image()),
            "kinds": List(Value("string")),
            "text": Value("string"),
            "group": Value("string"),
        }
    )
    return generate_splits(_rows, options, features, cache, num_proc)


def _rows(options: PageOcrOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 3, index])
        kind = "caption" if rng.random() < SHAPE_FRACTION else "transcribe"
        image, text = _shape_example(options.size, rng) if kind == "caption" else _page_example(options.size, rng)
        question = str(rng.choice(QUESTIONS[kind]))
        yield {
            "id": f"{split}-{index:06d}",
            "messages": build_image_messages([(question, text)]),
            "images": [encode(image)],
            "kinds": [kind],
            "text": text,
            "group": text,
        }


def _shape_example(size: int, rng: np.random.Generator) -> tuple[Pillow.Image, str]:
    word = pseudowords.random_pseudoword(rng)
    picture = pseudowords.draw(word, size, 1.0, rng)
    return picture.image, pseudowords.captions(word, picture.shape, picture.hue)[0]


def _page_example(size: int, rng: np.random.Generator) -> tuple[Pillow.Image, str]:
    text = _sentence(rng) if rng.random() < 0.5 else _random_words(rng)
    return pages.draw(text, str(rng.choice(pseudowords.fonts())), size, rng), text


@lru_cache(maxsize=1)
def _short_sentences() -> tuple[str, ...]:
    return tuple(text for _, text in open_vocabulary_sentences() if len(text.split()) <= LONGEST)


def _sentence(rng: np.random.Generator) -> str:
    return _short_sentences()[int(rng.integers(len(_short_sentences())))]


def _random_words(rng: np.random.Generator) -> str:
    """Return one to four words that nothing but reading can tell: made up, or out of sentences without their order."""
    found = []
    for _ in range(int(rng.integers(1, LONGEST))):
        known = _sentence(rng).rstrip(".").split()
        found.append(pseudowords.random_pseudoword(rng) if rng.random() < 0.5 else str(rng.choice(known)))
    text = " ".join(found)
    return as_sentence(text) if rng.random() < 0.5 else text
