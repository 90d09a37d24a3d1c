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

from hfmm.data import pages, words
from hfmm.data.images import encode
from hfmm.data.messages import STORED, about_a_picture
from hfmm.data.synthesis import SPLITS, Split, draw_splits
from hfmm.grammar.captions import as_sentence
from hfmm.grammar.outside import outside_sentences
from hfmm.strict import Strict

LONGEST = 5  # words on a page of 64 pixels that are still legible
SHAPES = 0.25  # share of the rows that show a word on a shape
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


class Options(Strict):
    """What `data: {builder: reading}` takes."""

    train: int = Field(100_000, ge=1)
    validation: int = Field(500, ge=1)
    test: int = Field(1000, ge=1)
    size: int = Field(64, ge=32, le=1024, description="pixels a side")
    seed: int = Field(0, ge=0)


def build(options: Options, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits; a row depends on the options, its split and its index, and on nothing else.

    Raises UserError where the fonts of the extra `pretrain` are missing.
    """
    words.fonts()
    features = Features(
        {
            "id": Value("string"),
            "messages": STORED,
            "images": List(Image()),
            "kinds": List(Value("string")),
            "text": Value("string"),
            "group": Value("string"),
        }
    )
    return draw_splits(_rows, options, features, cache, num_proc)


def _rows(options: Options, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 3, index])
        kind = "caption" if rng.random() < SHAPES else "transcribe"
        image, text = _on_a_shape(options.size, rng) if kind == "caption" else _on_a_page(options.size, rng)
        question = str(rng.choice(QUESTIONS[kind]))
        yield {
            "id": f"{split}-{index:06d}",
            "messages": about_a_picture([(question, text)]),
            "images": [encode(image)],
            "kinds": [kind],
            "text": text,
            "group": text,
        }


def _on_a_shape(size: int, rng: np.random.Generator) -> tuple[Pillow.Image, str]:
    word = words.made_up(rng)
    picture = words.draw(word, size, 1.0, rng)
    return picture.image, words.captions(word, picture.shape, picture.hue)[0]


def _on_a_page(size: int, rng: np.random.Generator) -> tuple[Pillow.Image, str]:
    text = _sentence(rng) if rng.random() < 0.5 else _loose_words(rng)
    return pages.draw(text, str(rng.choice(words.fonts())), size, rng), text


@lru_cache(maxsize=1)
def _short_sentences() -> tuple[str, ...]:
    return tuple(text for _, text in outside_sentences() if len(text.split()) <= LONGEST)


def _sentence(rng: np.random.Generator) -> str:
    return _short_sentences()[int(rng.integers(len(_short_sentences())))]


def _loose_words(rng: np.random.Generator) -> str:
    """Return one to four words that nothing but reading can tell: made up, or out of sentences without their order."""
    found = []
    for _ in range(int(rng.integers(1, LONGEST))):
        known = _sentence(rng).rstrip(".").split()
        found.append(words.made_up(rng) if rng.random() < 0.5 else str(rng.choice(known)))
    text = " ".join(found)
    return as_sentence(text) if rng.random() < 0.5 else text
