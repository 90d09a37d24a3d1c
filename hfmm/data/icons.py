"""Icons of verb forms: colour says the tense, shape the person, the written stem the verb."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import ClassLabel, DatasetDict, Features, Image, List, Value
from PIL import Image as Pillow
from PIL import ImageDraw
from pydantic import Field

from hfmm.data.common import drawing
from hfmm.data.common.generate import SPLITS, Split, generate_splits
from hfmm.data.common.images import encode
from hfmm.data.common.labels import label_feature
from hfmm.data.common.verb_cells import cell_for_row
from hfmm.grammar import LEMMAS, PERSONS, TENSES, VerbCell, captions, surface_form, wrong_captions
from hfmm.recipe.validation import StrictModel

HUES: dict[str, float | None] = {"infinitive": None, "present": 220, "past": 0, "participle": 125, "future": 285}
SHAPES = {"1sg": "circle", "2sg": "square", "3sg": "triangle"}
PRONOUNS = {"1sg": "I", "2sg": "you", "3sg": "he/she/it"}
ATTRIBUTES: dict[str, tuple[str, ...]] = {"lemma": LEMMAS, "tense": TENSES, "person": PERSONS}

# All from matplotlib. The test families (a monospaced and a sans serif) have no relative in training.
FONTS: dict[Split, tuple[str, ...]] = {
    "train": (
        "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold",
        "STIXGeneral", "STIXGeneralBol", "cmr10", "cmb10",
    ),
    "validation": ("cmtt10", "cmti10"),
    "test": ("cmss10", "DejaVuSansMono", "DejaVuSansMono-Bold"),
}  # fmt: skip
BACKGROUNDS: dict[Split, tuple[str, ...]] = {
    "train": ("plain", "gradient", "stripes", "dots"),
    "validation": ("grid",),
    "test": ("checks", "waves", "clouds"),
}

DESCRIPTION = (
    "Icons of English verb forms. The colour of the shape says the tense (infinitive grey, present blue, "
    "past red, participle green, future purple), the shape says the person (I a circle, you a square, "
    "he/she/it a triangle), and the written stem says the verb. Position, size, hue, stroke, rotation, "
    "noise, font and background vary."
)


class IconsOptions(StrictModel):
    """What `data: {builder: icons}` takes."""

    label: Literal["all", "lemma", "tense", "person"] = Field("all", description="all: all three attributes at once")
    hold_out: Literal["font", "cell", "row"] = Field("font", description="font holds out backgrounds as well")
    train: int = Field(1000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    size: int = Field(64, ge=16, le=1024, description="pixels a side")
    seed: int = Field(0, ge=0)


OPTIONS = IconsOptions


def build(options: IconsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits; a picture depends on the seed, its split and its row, and on nothing else."""
    names = tuple(ATTRIBUTES) if options.label == "all" else (options.label,)
    attributes = {name: ATTRIBUTES[name] for name in names}
    features = Features(
        {
            "id": Value("string"),
            "image": Image(),
            "label": label_feature(attributes),
            "lemma": ClassLabel(names=list(LEMMAS)),
            "tense": ClassLabel(names=list(TENSES)),
            "person": ClassLabel(names=list(PERSONS)),
            "text": Value("string"),
            "captions": List(Value("string")),
            "negatives": List(Value("string")),
            "group": Value("string"),
            "font": Value("string"),
            "background": Value("string"),
        }
    )
    return generate_splits(_rows, options, features, cache, num_proc)


def _rows(options: IconsOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        cell = cell_for_row(options.seed, split, index, options.hold_out == "cell")
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
        font, background = _font_and_background(options, split, rng)
        attributes = [f"{key}: {getattr(cell, key)}" for key in ATTRIBUTES]
        yield {
            "id": f"{split}-{index:06d}",
            "image": encode(draw(cell, font, background, options.size, rng)),
            "label": attributes if options.label == "all" else getattr(cell, options.label),
            "lemma": cell.lemma,
            "tense": cell.tense,
            "person": cell.person,
            "text": f"{PRONOUNS[cell.person]}: {surface_form(*cell)}",
            "captions": list(captions(cell)),
            "negatives": list(wrong_captions(cell)),
            "group": "/".join(cell),
            "font": font,
            "background": background,
        }


def _font_and_background(options: IconsOptions, split: Split, rng: np.random.Generator) -> tuple[str, str]:
    """Return the font and the background of a row."""
    source: list[Split] = [split] if options.hold_out == "font" else list(SPLITS)
    fonts = [font for one in source for font in FONTS[one]]
    backgrounds = [background for one in source for background in BACKGROUNDS[one]]
    return str(rng.choice(fonts)), str(rng.choice(backgrounds))


def draw(cell: VerbCell, font: str, background: str, size: int, rng: np.random.Generator) -> Pillow.Image:
    """Return one icon, ``size`` pixels a side, everything but the cell, font and background at random."""
    big = size * drawing.SUPERSAMPLING
    image = drawing.background(rng, background, big)
    color = _color(cell.tense, rng)
    radius = big * rng.uniform(0.34, 0.46)
    center = (big * rng.uniform(0.44, 0.56), big * rng.uniform(0.44, 0.56))
    turn = rng.uniform(-0.2, 0.2)
    stroke = int(rng.integers(0, big // 24 + 1))
    outline = drawing.contrasting_color(rng, color) if stroke else None
    canvas = ImageDraw.Draw(image)
    if SHAPES[cell.person] == "circle":
        box = [center[0] - radius, center[1] - radius, center[0] + radius, center[1] + radius]
        canvas.ellipse(box, fill=color, outline=outline, width=stroke)
    else:
        sides = 4 if SHAPES[cell.person] == "square" else 3
        canvas.polygon(drawing.polygon(sides, center, 1.13 * radius, turn), fill=color, outline=outline, width=stroke)
    # A triangle is widest below its centre, so its word stands lower.
    drop = 0.2 * radius if SHAPES[cell.person] == "triangle" else 0
    drawing.paste_word(
        image,
        cell.lemma,
        font,
        center=(center[0] + big * rng.uniform(-0.02, 0.02), center[1] + drop),
        width=big * rng.uniform(0.62, 0.8),
        height=big * rng.uniform(0.3, 0.42),
        angle=-math.degrees(turn) + rng.uniform(-6, 6),
        ink=drawing.contrasting_color(rng, color),
        halo=color,
    )
    return drawing.downsample_and_add_noise(rng, image, size, noise=14)


def _color(tense: str, rng: np.random.Generator) -> drawing.Color:
    hue = HUES[tense]
    if hue is None:
        return drawing.hsv(rng.uniform(0, 360), rng.uniform(0, 0.06), rng.uniform(0.35, 0.65))
    return drawing.hsv(hue + rng.uniform(-14, 14), rng.uniform(0.6, 1), rng.uniform(0.5, 0.95))
