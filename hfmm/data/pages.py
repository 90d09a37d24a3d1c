"""Photographed pages: a printed verb form or sentence, as a camera above a desk would capture it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from datasets import ClassLabel, DatasetDict, Features, Image, List, Value
from PIL import Image as Pillow
from PIL import ImageDraw
from pydantic import Field, ValidationInfo, field_validator

from hfmm.data.common import camera_augment, drawing
from hfmm.data.common.generate import SPLITS, Split, generate_splits
from hfmm.data.common.images import encode
from hfmm.data.common.verb_cells import cell_for_row
from hfmm.data.icons import FONTS
from hfmm.grammar import CELLS, LEMMAS, PERSONS, TENSES, VerbCell, captions, wrong_captions
from hfmm.grammar.captions import phrases
from hfmm.grammar.sentences import TEMPLATES, matching_templates, sentence
from hfmm.recipe.validation import StrictModel

LEADING = 1.25  # line height divided by font size
PATTERNS = tuple(template.text for template in TEMPLATES)
RULINGS = ("none", "none", "lines", "squares")

DESCRIPTION = (
    "Printed pages with an English verb form or sentence that look like photographs: in perspective on a desk, under "
    "uneven light, blurred, with noise and JPEG artifacts. Words, font, size, ink, paper, ruling and layout vary. "
    "`captions` holds all correct captions of the page, `negatives` holds hard negatives."
)


class PagesOptions(StrictModel):
    """Options of `data: {builder: pages}`."""

    content: Literal["form", "sentence"] = Field("form", description="form: pronoun and verb form")
    captions: Literal["texts", "templates"] = Field("texts", description="templates: for example SUBJ has PARTICIPLE")
    hold_out: Literal["font", "cell", "row"] = "font"
    train: int = Field(1000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    size: int = Field(64, ge=32, le=1024, description="side length in pixels; use 128 for sentences")
    seed: int = Field(0, ge=0)

    @field_validator("captions")
    @classmethod
    def _only_sentences_have_templates(cls, value: str, info: ValidationInfo) -> str:
        if value == "templates" and info.data.get("content") == "form":
            raise ValueError("only sentences have templates; set content: sentence")
        return value


class PageText(NamedTuple):
    """The text of a page, its correct captions, its hard negatives, and its group."""

    text: str
    captions: tuple[str, ...]
    negatives: tuple[str, ...]
    group: str


OPTIONS = PagesOptions


def build(options: PagesOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits. Each image depends only on the options, its split and its row index."""
    features = Features(
        {
            "id": Value("string"),
            "image": Image(),
            "lemma": ClassLabel(names=list(LEMMAS)),
            "tense": ClassLabel(names=list(TENSES)),
            "person": ClassLabel(names=list(PERSONS)),
            "text": Value("string"),
            "captions": List(Value("string")),
            "negatives": List(Value("string")),
            "group": Value("string"),
            "font": Value("string"),
        }
    )
    return generate_splits(_rows, options, features, cache, num_proc)


def _rows(options: PagesOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        cell = cell_for_row(options.seed, split, index, options.hold_out == "cell")
        rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
        sources: list[Split] = [split] if options.hold_out == "font" else list(SPLITS)
        font = str(rng.choice([name for source in sources for name in FONTS[source]]))
        page = _page_text(options, cell, rng)
        yield {
            "id": f"{split}-{index:06d}",
            "image": encode(draw(page.text, font, options.size, rng)),
            "lemma": cell.lemma,
            "tense": cell.tense,
            "person": cell.person,
            "text": page.text,
            "captions": list(page.captions),
            "negatives": list(page.negatives),
            "group": page.group,
            "font": font,
        }


def _page_text(options: PagesOptions, cell: VerbCell, rng: np.random.Generator) -> PageText:
    """Return the text and the captions of a page for a cell."""
    if options.content == "sentence":
        chosen_sentence = sentence(cell, rng)
        if options.captions == "templates":
            matching = matching_templates(chosen_sentence)
            negatives = tuple(pattern for pattern in PATTERNS if pattern not in matching)
            return PageText(chosen_sentence.text, matching, negatives, chosen_sentence.template)
        return PageText(
            chosen_sentence.text, (*captions(cell), chosen_sentence.text), wrong_captions(cell), "/".join(cell)
        )
    text = str(rng.choice(phrases(cell)))
    # `I put` belongs to two cells, so the captions of both are correct for the page.
    readings = [cell, *(other for other in CELLS if other != cell and text in phrases(other))]
    positives = dict.fromkeys(caption for reading in readings for caption in captions(reading))
    near_misses = dict.fromkeys(caption for reading in readings for caption in wrong_captions(reading))
    negatives = tuple(caption for caption in near_misses if caption not in positives)
    return PageText(text, tuple(positives), negatives, "/".join(cell))


def draw(text: str, font: str, size: int, rng: np.random.Generator) -> Pillow.Image:
    """Return a photographed page with ``text`` in ``size`` x ``size`` pixels. All but text and font is random."""
    page_size = size * drawing.SUPERSAMPLING
    is_dark = rng.random() < 0.12
    page = draw_paper(page_size, is_dark, rng)
    saturation, value = (
        (rng.uniform(0, 0.12), rng.uniform(0.93, 1)) if is_dark else (rng.uniform(0, 0.9), rng.uniform(0, 0.3))
    )
    ink = drawing.hsv(rng.uniform(0, 360), saturation, value)
    draw_text(page, text, font, ink, rng)
    desk = _noise_texture(
        drawing.hsv(rng.uniform(15, 45), rng.uniform(0, 0.6), rng.uniform(0.2, 0.75)), page_size, 10, rng
    )
    return camera_augment.simulate_photo(page, desk, size, rng)


def draw_paper(size: int, is_dark: bool, rng: np.random.Generator) -> Pillow.Image:
    """Return a blank square page: white to cream or nearly black, without ruling, with lines or with squares."""
    value = rng.uniform(0.08, 0.2) if is_dark else rng.uniform(0.82, 1)
    color = drawing.hsv(rng.uniform(20, 60) if rng.random() < 0.7 else rng.uniform(0, 360), rng.uniform(0, 0.18), value)
    page = _noise_texture(color, size, 5, rng)
    ruling = rng.choice(RULINGS)
    if ruling != "none":
        canvas = ImageDraw.Draw(page, "RGBA")
        line_color = (*drawing.hsv(rng.uniform(190, 230), 0.6, 0.7), int(rng.integers(30, 70)))
        step = int(rng.integers(size // 12, size // 6))
        for position in range(int(rng.integers(step)), size, step):
            canvas.line([(0, position), (size, position)], fill=line_color, width=max(1, size // 128))
            if ruling == "squares":
                canvas.line([(position, 0), (position, size)], fill=line_color, width=max(1, size // 128))
    return page


def draw_text(page: Pillow.Image, text: str, font: str, ink: drawing.Color, rng: np.random.Generator) -> None:
    """Write ``text`` on ``page`` at a random position, with the line breaks that allow the largest font size.

    The lines are left-aligned or centered at random.
    """
    printable = page.width * (1 - 2 * camera_augment.MARGIN)
    side = printable * rng.uniform(0.88, 1)
    min_width = max(map(len, text.split()))
    line_breaks = dict.fromkeys(tuple(textwrap.wrap(text, width)) for width in range(min_width, len(text) + 1))
    size, lines = max((_max_font_size(lines, font, side), lines) for lines in line_breaks)
    loaded_font, line_height = drawing.font(font, size), LEADING * size
    widths = [loaded_font.getlength(line) for line in lines]
    left = page.width / 2 - max(widths) / 2 + (printable - max(widths)) * rng.uniform(-0.3, 0.3)
    height = line_height * len(lines)
    top = page.width / 2 - height / 2 + (printable - height) * rng.uniform(-0.3, 0.3)
    is_centered = rng.random() < 0.5
    canvas = ImageDraw.Draw(page)
    for index, (line, width) in enumerate(zip(lines, widths, strict=True)):
        indent = (max(widths) - width) / 2 if is_centered else 0
        canvas.text((left + indent, top + line_height * (index + 0.8)), line, fill=ink, font=loaded_font, anchor="ls")


def _max_font_size(lines: tuple[str, ...], font: str, side: float) -> int:
    """Return the largest font size at which ``lines`` fit a square of ``side`` pixels, at most 0.4 of it."""
    max_width = max(drawing.font(font, 100).getlength(line) for line in lines)
    return int(side * min(100 / max_width, 1 / (LEADING * len(lines)), 0.4))


def _noise_texture(color: drawing.Color, size: int, contrast: float, rng: np.random.Generator) -> Pillow.Image:
    """Return a square of one color with the uneven tone of paper or wood. ``contrast`` is on a scale of 0 to 255."""
    coarse, fine = rng.standard_normal((9, 9)), rng.standard_normal((size, size))
    cloud = np.asarray(Pillow.fromarray(coarse.astype(np.float32)).resize((size, size), Pillow.Resampling.BICUBIC))
    tone = (cloud + 0.5 * fine) * rng.uniform(0.3, 1) * contrast
    return Pillow.fromarray(np.clip(np.asarray(color) + tone[..., None], 0, 255).astype(np.uint8))
