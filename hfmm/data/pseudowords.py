"""Made-up words on colored shapes, the data that the built-in checkpoints learned to read from.

Words are letter strings that are not forms of the 20 verbs. Shapes and colors do not follow the code of the icons. The
fonts are not held out by the icons. Most of them come from the package rendercv-fonts (the extra `pretrain`), all
under open licenses.
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

MAX_LETTERS = 6  # the length of the longest word
BLANK = "-"
ATTRIBUTES = {
    **{f"letter {position}": (BLANK, *ascii_lowercase) for position in range(1, MAX_LETTERS + 1)},
    "shape": ("nothing", *SHAPES),
    "hue": (BLANK, *map(str, HUES)),
}
VOWELS = "aeiou"
CONSONANTS = "".join(letter for letter in ascii_lowercase if letter not in VOWELS)

DESCRIPTION = (
    "Made-up words of two to six letters on colored shapes, in many fonts. Each image has one label per letter and "
    "captions such as `the word bluk on a green star`. No word is a form of the 20 verbs, and no font is held out by "
    "the icons."
)


class PseudowordsOptions(StrictModel):
    """Options of `data: {builder: pseudowords}`."""

    train: int = Field(200_000, ge=1)
    validation: int = Field(2000, ge=1)
    test: int = Field(4000, ge=1)
    size: int = Field(64, ge=16, le=1024, description="side length in pixels")
    max_difficulty: float = Field(1.0, ge=0, le=1, description="difficulty is uniform from 0 to this")
    patch: int = Field(8, ge=1, description="side length in pixels of the patches of `token_labels`")
    seed: int = Field(0, ge=0)


OPTIONS = PseudowordsOptions


def build(options: PseudowordsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits. The test split has other words in the same fonts."""
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
    """Return the training fonts of the icons and all Latin fonts of rendercv-fonts.

    Raises UserError if rendercv-fonts is not installed.
    """
    package = find_spec("rendercv_fonts")
    if package is None or package.origin is None:
        raise UserError(
            'data.builder: this dataset needs the fonts of the extra `pretrain`. Run pip install "hfmm[pretrain]".'
        )
    font_files = [
        str(path)
        for path in sorted(Path(package.origin).parent.rglob("*.[to]tf"))
        if not any(part in path.name for part in ("Awesome", "SC-", "JP-", "KR-"))
    ]
    return (*FONTS["train"], *font_files)


def _rows(options: PseudowordsOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        rng = np.random.default_rng([options.seed, SPLITS.index(split), index])
        word = random_pseudoword(rng)
        drawn_word = draw(word, options.size, options.max_difficulty, rng)
        letters = word.ljust(MAX_LETTERS, BLANK)
        values = {
            **{f"letter {position + 1}": letter for position, letter in enumerate(letters)},
            "shape": drawn_word.shape,
            "hue": drawn_word.hue,
        }
        yield {
            "id": f"{split}-{index:07d}",
            "image": encode(drawn_word.image),
            "label": [attribute_label(attribute, value) for attribute, value in values.items()],
            "token_labels": _token_labels(word, drawn_word.placement, options),
            "text": word,
            "captions": list(captions(word, drawn_word.shape, drawn_word.hue)),
            "group": word,
        }


def captions(word: str, shape: str, hue: str) -> tuple[str, ...]:
    """Return the correct captions of an image. The first one states everything; the others state less."""
    if shape == "nothing":
        return f"the word {word}", word
    color = GREY if hue == BLANK else COLORS[HUES.index(int(hue))]
    shape_caption = caption(color, shape)
    return f"the word {word} on {shape_caption}", f"{word}, {color} {shape}", f"the word {word}", shape_caption, word


def _token_labels(word: str, placement: drawing.TextBox, options: PseudowordsOptions) -> list[int]:
    """Return the label index (of "letter N: x") of the letter at the center of each patch, or -1 without a letter."""
    labels = []
    step = options.patch * drawing.SUPERSAMPLING
    for y in range(options.size // options.patch):
        for x in range(options.size // options.patch):
            position = placement.char_at((x + 0.5) * step, (y + 0.5) * step)
            if position is None:
                labels.append(-1)
            else:
                labels.append(position * (1 + len(ascii_lowercase)) + 1 + ascii_lowercase.index(word[position]))
    return labels


def random_pseudoword(rng: np.random.Generator) -> str:
    """Return two to six letters that are not a form of the 20 verbs. Half of the words are pronounceable."""
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
    word, is_vowel = "", rng.random() < 0.4
    for _ in range(length):
        word += str(rng.choice(list(VOWELS if is_vowel else CONSONANTS)))
        is_vowel = not is_vowel if rng.random() < 0.8 else is_vowel
    return word


class DrawnWord(NamedTuple):
    """The image of a word, the shape behind the word and its hue, and the position of the word."""

    image: Pillow.Image
    shape: str
    hue: str
    placement: drawing.TextBox


def draw(word: str, size: int, max_difficulty: float, rng: np.random.Generator) -> DrawnWord:
    """Return one image of ``word`` with ``size`` x ``size`` pixels.

    Everything that makes reading hard (background, shape, color, font, rotation, size, noise) grows with a difficulty
    that is uniform from 0 to ``max_difficulty``. If training starts with hard images, a small ViT learns nothing from a
    hundred thousand of them. With easy images it starts to read within thirty thousand.
    """
    canvas_size, difficulty = size * drawing.SUPERSAMPLING, max_difficulty * rng.random()
    is_plain = rng.random() > difficulty
    if is_plain:
        image = Pillow.new("RGB", (canvas_size, canvas_size), drawing.hsv(0, 0, 1 - 0.9 * (rng.random() < difficulty)))
    else:
        image = drawing.background(rng, str(rng.choice(BACKGROUNDS["train"])), canvas_size)
    shape = "nothing" if rng.random() > 1.3 * difficulty else str(rng.choice(("nothing", *SHAPES)))
    hue = str(rng.choice(HUES)) if shape != "nothing" and rng.random() < 0.85 else BLANK
    if hue == BLANK:
        color = drawing.hsv(0, 0, rng.uniform(0.3, 0.7))
    else:
        color = drawing.hsv(int(hue) + rng.uniform(-12, 12), rng.uniform(0.4, 1), rng.uniform(0.4, 0.95))
    shift = 0.06 * difficulty
    center = (canvas_size * rng.uniform(0.5 - shift, 0.5 + shift), canvas_size * rng.uniform(0.5 - shift, 0.5 + shift))
    radius, rotation = canvas_size * rng.uniform(0.3, 0.5), rng.uniform(-0.25, 0.25)
    if shape != "nothing":
        draw_shape(image, shape, center, radius, rotation, color)
    background_color: Any = color if shape != "nothing" else image.resize((1, 1)).getpixel((0, 0))
    available_fonts = fonts()[: max(1, round(difficulty * len(fonts())))]
    placement = drawing.paste_word(
        image,
        word,
        str(rng.choice(available_fonts)),
        center=center,
        width=canvas_size * rng.uniform(0.9 - 0.35 * difficulty, 0.9),
        height=canvas_size * rng.uniform(0.42 - 0.15 * difficulty, 0.45),
        angle=difficulty * rng.uniform(-16, 16),
        ink=drawing.contrasting_color(rng, background_color),
        halo=background_color if rng.random() < 0.8 else None,
    )
    return DrawnWord(drawing.downsample_and_add_noise(rng, image, size, noise=14 * difficulty), shape, hue, placement)
