"""Images to learn reading from: pages with made-up words or sentences without the 20 verbs, and words on shapes.

A page has only one to five words, so that the letters are large. A quarter of the images come from `pseudowords`, so
that the model does not forget shapes and colors. None of the fonts is held out by `icons` or `pages`.
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

LONGEST = 5  # the most words that are still legible on a page of 64 pixels
SHAPE_FRACTION = 0.25  # fraction of the rows that show a word on a shape
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
    "Photographed pages with made-up words or sentences without the 20 verbs, and made-up words on colored shapes, in "
    "many fonts. `messages` and `images` follow TRL. `kinds` names the kind of each question: transcribe (give the "
    "text of the page) or caption (describe the image)."
)


class PageOcrOptions(StrictModel):
    """Options of `data: {builder: page_ocr}`."""

    train: int = Field(100_000, ge=1)
    validation: int = Field(500, ge=1)
    test: int = Field(1000, ge=1)
    size: int = Field(64, ge=32, le=1024, description="side length in pixels")
    seed: int = Field(0, ge=0)


OPTIONS = PageOcrOptions


def build(options: PageOcrOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits. Each row depends only on the options, its split and its index.

    Raises UserError if the fonts of the extra `pretrain` are not installed.
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
    drawn_word = pseudowords.draw(word, size, 1.0, rng)
    return drawn_word.image, pseudowords.captions(word, drawn_word.shape, drawn_word.hue)[0]


def _page_example(size: int, rng: np.random.Generator) -> tuple[Pillow.Image, str]:
    text = _random_sentence(rng) if rng.random() < 0.5 else _random_words(rng)
    return pages.draw(text, str(rng.choice(pseudowords.fonts())), size, rng), text


@lru_cache(maxsize=1)
def _short_sentences() -> tuple[str, ...]:
    return tuple(text for _, text in open_vocabulary_sentences() if len(text.split()) <= LONGEST)


def _random_sentence(rng: np.random.Generator) -> str:
    return _short_sentences()[int(rng.integers(len(_short_sentences())))]


def _random_words(rng: np.random.Generator) -> str:
    """Return one to four words that cannot be guessed from context: made up, or taken from random sentences."""
    words = []
    for _ in range(int(rng.integers(1, LONGEST))):
        sentence_words = _random_sentence(rng).rstrip(".").split()
        words.append(pseudowords.random_pseudoword(rng) if rng.random() < 0.5 else str(rng.choice(sentence_words)))
    text = " ".join(words)
    return as_sentence(text) if rng.random() < 0.5 else text
