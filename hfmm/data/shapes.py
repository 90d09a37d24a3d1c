"""Colored shapes without words: images that have nothing to do with grammar."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict, Features, Image, List, Value
from PIL import Image as Pillow
from PIL import ImageDraw
from pydantic import Field

from hfmm.data.common import drawing
from hfmm.data.common.generate import SPLITS, Split, generate_splits
from hfmm.data.common.images import encode
from hfmm.data.common.labels import label_feature
from hfmm.data.icons import BACKGROUNDS
from hfmm.recipe.validation import StrictModel

SHAPES = ("pentagon", "hexagon", "ellipse", "star", "band")
HUES = tuple(range(0, 360, 30))
COLORS = (
    "red", "orange", "yellow", "lime", "green", "emerald", "cyan", "azure", "blue", "violet", "magenta", "pink",
)  # fmt: skip
GREY = "grey"
CLASSES = tuple((color, shape) for shape in SHAPES for color in (*COLORS, GREY))

DESCRIPTION = (
    "Pentagons, hexagons, ellipses, stars and bands in twelve colors and grey, with captions such as `a green star`. "
    "The images contain no words, and none of the shapes is used by the icons."
)


class ShapesOptions(StrictModel):
    """Options of `data: {builder: shapes}`."""

    train: int = Field(1000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(650, ge=1)
    size: int = Field(64, ge=16, le=1024, description="side length in pixels")
    seed: int = Field(0, ge=0)


OPTIONS = ShapesOptions


def build(options: ShapesOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits. The classes take turns, so each one is equally frequent."""
    names = tuple(caption(color, shape) for color, shape in CLASSES)
    features = Features(
        {
            "id": Value("string"),
            "image": Image(),
            "label": label_feature({"shape": names}),
            "captions": List(Value("string")),
            "group": Value("string"),
        }
    )
    return generate_splits(_rows, options, features, cache, num_proc)


def _rows(options: ShapesOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        rng = np.random.default_rng([options.seed, SPLITS.index(split), index])
        color, shape = CLASSES[index % len(CLASSES)]
        text = caption(color, shape)
        yield {
            "id": f"{split}-{index:06d}",
            "image": encode(draw(color, shape, options.size, rng)),
            "label": text,
            "captions": [text],
            "group": text,
        }


def caption(color: str, shape: str) -> str:
    """Return a caption such as ``an orange star``."""
    return f"{'an' if color[0] in 'aeiou' else 'a'} {color} {shape}"


def draw(color: str, shape: str, size: int, rng: np.random.Generator) -> Pillow.Image:
    """Return one image of ``size`` x ``size`` pixels. All but the color and the shape is random."""
    canvas_size = size * drawing.SUPERSAMPLING
    image = drawing.background(rng, str(rng.choice(BACKGROUNDS["train"])), canvas_size)
    if color == GREY:
        ink = drawing.hsv(0, 0, rng.uniform(0.3, 0.7))
    else:
        hue = HUES[COLORS.index(color)] + rng.uniform(-12, 12)
        ink = drawing.hsv(hue, rng.uniform(0.4, 1), rng.uniform(0.4, 0.95))
    center = (canvas_size * rng.uniform(0.45, 0.55), canvas_size * rng.uniform(0.45, 0.55))
    draw_shape(image, shape, center, canvas_size * rng.uniform(0.3, 0.45), rng.uniform(-0.25, 0.25), ink)
    return drawing.downsample_and_add_noise(rng, image, size, noise=14)


def draw_shape(
    image: Pillow.Image, shape: str, center: tuple[float, float], radius: float, rotation: float, color: drawing.Color
) -> None:
    """Draw one of `SHAPES` on ``image``, with about ``radius`` pixels from its center to its edge."""
    canvas = ImageDraw.Draw(image)
    x, y = center
    match shape:
        case "pentagon" | "hexagon":
            canvas.polygon(drawing.polygon(5 if shape == "pentagon" else 6, center, radius, rotation), fill=color)
        case "ellipse":
            canvas.ellipse([x - 1.1 * radius, y - 0.7 * radius, x + 1.1 * radius, y + 0.7 * radius], fill=color)
        case "star":
            tips = drawing.polygon(5, center, 1.1 * radius, rotation)
            dents = drawing.polygon(5, center, 0.6 * radius, rotation + math.pi / 5)
            canvas.polygon([point for pair in zip(tips, dents, strict=True) for point in pair], fill=color)
        case "band":
            canvas.rectangle([0, y - 0.5 * radius, image.width, y + 0.5 * radius], fill=color)
