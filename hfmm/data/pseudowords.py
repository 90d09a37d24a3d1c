"""Made-up words on coloured shapes: what the embedded checkpoints learnt to read from.

Words are letter strings outside the verb universe, shapes and colours do not follow the icons' code,
and the fonts are none of those that the icons hold out. Most come from the package rendercv-fonts
(the extra `pretrain`), all under open licences.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

import numpy as np
from datasets import DatasetDict, Features, Image, List, Value
from PIL import Image as Pillow
from pydantic import Field

from hfmm.data.common import drawing
from hfmm.data.common.generate import SPLITS, Split, generate_splits
from hfmm.data.common.images import encode
from hfmm.data.common.labels import attribute_label, label_feature
from hfmm.data.icons import BACKGROUNDS, FONTS
from hfmm.data.shapes import COLORS, GREY, HUES, SHAPES, caption, draw_shape
from hfmm.errors import UserError
from hfmm.grammar import CELLS, surface_form
from hfmm.recipe.validation import StrictModel

MAX_LETTERS = 6  # the longest word
BLANK = "-"
ATTRIBUTES = {
    **{f"letter {position}": (BLANK, *ascii_lowercase) for position in range(1, MAX_LETTERS + 1)},
    "shape": ("nothing", *SHAPES),
    "hue": (BLANK, *map(str, HUES)),
}
VOWELS = "aeiou"
CONSONANTS = "".join(letter for letter in ascii_lowercase if letter not in VOWELS)

DESCRIPTION = (
    "Made-up words of two to six letters on coloured shapes, in many fonts, labelled letter by letter "
    "and with captions such as `the word bluk on a green star`. "
    "No word is a form of the 20 verbs, and no font is one that the icons hold out."
)


class PseudowordsOptions(StrictModel):
    """What `data: {builder: pseudowords}` takes."""

    train: int = Field(200_000, ge=1)
    validation: int = Field(2000, ge=1)
    test: int = Field(4000, ge=1)
    size: int = Field(64, ge=16, le=1024, description="pixels a side")
    max_difficulty: float = Field(1.0, ge=0, le=1, description="difficulty is drawn evenly from 0 to this")
    patch: int = Field(8, ge=1, description="pixels a side of the patches that `token_labels` describes")
    seed: int = Field(0, ge=0)


OPTIONS = PseudowordsOptions


def build(options: PseudowordsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits; the test split holds other words in the same fonts."""
    fonts()
    features = Features(
        {
            "id": Value("string"),
            "image": Image(),
            "label": label_feature(ATTRIBUTES),
            "token_labels": List(Value("int16")),
            "text": Value("string"),
            "captions": List(Value("string")),
            "group": Value("string"),
        }
    )
    return generate_splits(_rows, options, features, cache, num_proc)


@lru_cache(maxsize=1)
def fonts() -> tuple[str, ...]:
    """Return the icons' training fonts and every Latin face of rendercv-fonts; raises UserError without it."""
    package = find_spec("rendercv_fonts")
    if package is None or package.origin is None:
        raise UserError(
            'data.builder: pseudowords needs the fonts of the extra `pretrain`: pip install "hfmm[pretrain]".'
        )
    faces = [
        str(path)
        for path in sorted(Path(package.origin).parent.rglob("*.[to]tf"))
        if not any(mark in path.name for mark in ("Awesome", "SC-", "JP-", "KR-"))
    ]
    return (*FONTS["train"], *faces)


def _rows(options: PseudowordsOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        rng = np.random.default_rng([options.seed, SPLITS.index(split), index])
        word = random_pseudoword(rng)
        picture = draw(word, options.size, options.max_difficulty, rng)
        letters = word.ljust(MAX_LETTERS, BLANK)
        values = {
            **{f"letter {at + 1}": letter for at, letter in enumerate(letters)},
            "shape": picture.shape,
            "hue": picture.hue,
        }
        yield {
            "id": f"{split}-{index:07d}",
            "image": encode(picture.image),
            "label": [attribute_label(attribute, value) for attribute, value in values.items()],
            "token_labels": _token_labels(word, picture.placement, options),
            "text": word,
            "captions": list(captions(word, picture.shape, picture.hue)),
            "group": word,
        }


def captions(word: str, shape: str, hue: str) -> tuple[str, ...]:
    """Return the texts that are true of a picture; the first says all that the others say."""
    if shape == "nothing":
        return f"the word {word}", word
    color = GREY if hue == BLANK else COLORS[HUES.index(int(hue))]
    thing = caption(color, shape)
    return f"the word {word} on {thing}", f"{word}, {color} {shape}", f"the word {word}", thing, word


def _token_labels(word: str, placement: drawing.TextBox, options: PseudowordsOptions) -> list[int]:
    """Return, patch by patch, the index of the label "letter N: x" of the letter there, -1 where none is."""
    labels = []
    step = options.patch * drawing.SUPERSAMPLING
    for y in range(options.size // options.patch):
        for x in range(options.size // options.patch):
            at = placement.char_at((x + 0.5) * step, (y + 0.5) * step)
            labels.append(-1 if at is None else at * (1 + len(ascii_lowercase)) + 1 + ascii_lowercase.index(word[at]))
    return labels


def random_pseudoword(rng: np.random.Generator) -> str:
    """Return a string of two to six letters that is no form of the 20 verbs; half of them can be pronounced."""
    word = _random_letters(rng)
    while word in _verb_forms():
        word = _random_letters(rng)
    return word


@lru_cache(maxsize=1)
def _verb_forms() -> frozenset[str]:
    return frozenset(surface_form(*cell).removeprefix("will ") for cell in CELLS)


def _random_letters(rng: np.random.Generator) -> str:
    length = int(rng.choice(range(2, MAX_LETTERS + 1), p=[0.15, 0.2, 0.3, 0.25, 0.1]))
    if rng.random() < 0.5:
        return "".join(rng.choice(list(ascii_lowercase), length))
    word, vowel = "", rng.random() < 0.4
    for _ in range(length):
        word += str(rng.choice(list(VOWELS if vowel else CONSONANTS)))
        vowel = not vowel if rng.random() < 0.8 else vowel
    return word


class DrawnWord(NamedTuple):
    """One drawn word, what stands behind it, and where it stands."""

    image: Pillow.Image
    shape: str
    hue: str
    placement: drawing.TextBox


def draw(word: str, size: int, hardest: float, rng: np.random.Generator) -> DrawnWord:
    """Return one picture of ``word``, ``size`` pixels a side.

    Everything that makes reading hard (background, shape, colour, font, turn, size, noise) grows with a
    difficulty drawn evenly from 0 to ``hardest``. A small ViT that meets hard pictures first learns
    nothing from a hundred thousand of them; from easy ones it begins to read within thirty thousand.
    """
    big, difficulty = size * drawing.SUPERSAMPLING, hardest * rng.random()
    plain = rng.random() > difficulty
    if plain:
        image = Pillow.new("RGB", (big, big), drawing.hsv(0, 0, 1 - 0.9 * (rng.random() < difficulty)))
    else:
        image = drawing.background(rng, str(rng.choice(BACKGROUNDS["train"])), big)
    shape = "nothing" if rng.random() > 1.3 * difficulty else str(rng.choice(("nothing", *SHAPES)))
    hue = str(rng.choice(HUES)) if shape != "nothing" and rng.random() < 0.85 else BLANK
    if hue == BLANK:
        color = drawing.hsv(0, 0, rng.uniform(0.3, 0.7))
    else:
        color = drawing.hsv(int(hue) + rng.uniform(-12, 12), rng.uniform(0.4, 1), rng.uniform(0.4, 0.95))
    shift = 0.06 * difficulty
    center = (big * rng.uniform(0.5 - shift, 0.5 + shift), big * rng.uniform(0.5 - shift, 0.5 + shift))
    radius, turn = big * rng.uniform(0.3, 0.5), rng.uniform(-0.25, 0.25)
    if shape != "nothing":
        draw_shape(image, shape, center, radius, turn, color)
    under: Any = color if shape != "nothing" else image.resize((1, 1)).getpixel((0, 0))
    faces = fonts()[: max(1, round(difficulty * len(fonts())))]
    placement = drawing.paste_word(
        image,
        word,
        str(rng.choice(faces)),
        center=center,
        width=big * rng.uniform(0.9 - 0.35 * difficulty, 0.9),
        height=big * rng.uniform(0.42 - 0.15 * difficulty, 0.45),
        angle=difficulty * rng.uniform(-16, 16),
        ink=drawing.contrasting_color(rng, under),
        halo=under if rng.random() < 0.8 else None,
    )
    return DrawnWord(drawing.downsample_and_add_noise(rng, image, size, noise=14 * difficulty), shape, hue, placement)
