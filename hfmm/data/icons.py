"""Icons of verb forms. The color encodes the tense, the shape encodes the person, and the word is the lemma."""

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

# All fonts ship with matplotlib. The training fonts include no relative of the test families (monospaced, sans serif).
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
    "Icons of English verb forms. The color of the shape encodes the tense (infinitive grey, present blue, past red, "
    "participle green, future purple). The shape encodes the person (I circle, you square, he/she/it triangle). The "
    "word on the shape is the verb's lemma. Position, size, hue, stroke, rotation, noise, font and background vary."
)


class IconsOptions(StrictModel):
    """Options of `data: {builder: icons}`."""

    label: Literal["all", "lemma", "tense", "person"] = Field(
        "all", description="all: a multi-label of lemma, tense and person"
    )
    hold_out: Literal["font", "cell", "row"] = Field("font", description="font: fonts and backgrounds")
    train: int = Field(1000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    size: int = Field(64, ge=16, le=1024, description="side length in pixels")
    seed: int = Field(0, ge=0)


OPTIONS = IconsOptions


def build(options: IconsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits. Each image depends only on the options, its split and its row index."""
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
        attributes = [f"{name}: {getattr(cell, name)}" for name in ATTRIBUTES]
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
    sources: list[Split] = [split] if options.hold_out == "font" else list(SPLITS)
    fonts = [font for source in sources for font in FONTS[source]]
    backgrounds = [background for source in sources for background in BACKGROUNDS[source]]
    return str(rng.choice(fonts)), str(rng.choice(backgrounds))


def draw(cell: VerbCell, font: str, background: str, size: int, rng: np.random.Generator) -> Pillow.Image:
    """Return one icon of ``size`` x ``size`` pixels. All but the cell, the font and the background is random."""
    canvas_size = size * drawing.SUPERSAMPLING
    image = drawing.background(rng, background, canvas_size)
    color = _color(cell.tense, rng)
    radius = canvas_size * rng.uniform(0.34, 0.46)
    center = (canvas_size * rng.uniform(0.44, 0.56), canvas_size * rng.uniform(0.44, 0.56))
    rotation = rng.uniform(-0.2, 0.2)
    stroke = int(rng.integers(0, canvas_size // 24 + 1))
    outline = drawing.contrasting_color(rng, color) if stroke else None
    canvas = ImageDraw.Draw(image)
    if SHAPES[cell.person] == "circle":
        box = [center[0] - radius, center[1] - radius, center[0] + radius, center[1] + radius]
        canvas.ellipse(box, fill=color, outline=outline, width=stroke)
    else:
        sides = 4 if SHAPES[cell.person] == "square" else 3
        canvas.polygon(
            drawing.polygon(sides, center, 1.13 * radius, rotation), fill=color, outline=outline, width=stroke
        )
    # A triangle is widest below its center, so its word is placed lower.
    offset = 0.2 * radius if SHAPES[cell.person] == "triangle" else 0
    drawing.paste_word(
        image,
        cell.lemma,
        font,
        center=(center[0] + canvas_size * rng.uniform(-0.02, 0.02), center[1] + offset),
        width=canvas_size * rng.uniform(0.62, 0.8),
        height=canvas_size * rng.uniform(0.3, 0.42),
        angle=-math.degrees(rotation) + rng.uniform(-6, 6),
        ink=drawing.contrasting_color(rng, color),
        halo=color,
    )
    return drawing.downsample_and_add_noise(rng, image, size, noise=14)


def _color(tense: str, rng: np.random.Generator) -> drawing.Color:
    hue = HUES[tense]
    if hue is None:
        return drawing.hsv(rng.uniform(0, 360), rng.uniform(0, 0.06), rng.uniform(0.35, 0.65))
    return drawing.hsv(hue + rng.uniform(-14, 14), rng.uniform(0.6, 1), rng.uniform(0.5, 0.95))
