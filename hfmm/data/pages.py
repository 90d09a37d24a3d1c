"""Photographed pages: a verb form or a sentence set in type on paper, as a camera on a desk would see it."""

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

LEADING = 1.25  # line height over font size
PATTERNS = tuple(one.text for one in TEMPLATES)
RULINGS = ("none", "none", "lines", "squares")

DESCRIPTION = (
    "Pages with an English verb form or sentence, set in type on paper and seen as if photographed: in "
    "perspective on a desk, under uneven light, blurred, with noise and JPEG artefacts. Words, font, size, "
    "ink, paper, rulings and layout vary. `captions` holds every text that is right for the page, `negatives` "
    "holds near misses."
)


class PagesOptions(StrictModel):
    """What `data: {builder: pages}` takes."""

    content: Literal["form", "sentence"] = Field("form", description="form: the verb form with its pronoun")
    captions: Literal["texts", "templates"] = Field("texts", description="templates: such as SUBJ has PARTICIPLE")
    hold_out: Literal["font", "cell", "row"] = "font"
    train: int = Field(1000, ge=1)
    validation: int = Field(300, ge=1)
    test: int = Field(900, ge=1)
    size: int = Field(64, ge=32, le=1024, description="pixels a side; a sentence wants 128")
    seed: int = Field(0, ge=0)

    @field_validator("captions")
    @classmethod
    def _only_sentences_have_templates(cls, value: str, others: ValidationInfo) -> str:
        if value == "templates" and others.data.get("content") == "form":
            raise ValueError("only sentences have templates: set content: sentence")
        return value


class PageText(NamedTuple):
    """What a page says: its text, the texts that are right for it, near misses, and the class it belongs to."""

    text: str
    captions: tuple[str, ...]
    negatives: tuple[str, ...]
    group: str


OPTIONS = PagesOptions


def build(options: PagesOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Draw the three splits; a picture depends on the seed, its split and its row, and on nothing else."""
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
    """Return what the page of a cell says."""
    if options.content == "sentence":
        one = sentence(cell, rng)
        if options.captions == "templates":
            right = matching_templates(one)
            return PageText(one.text, right, tuple(one for one in PATTERNS if one not in right), one.template)
        return PageText(one.text, (*captions(cell), one.text), wrong_captions(cell), "/".join(cell))
    text = str(rng.choice(phrases(cell)))
    # `I put` says two cells at once, and whatever is true of either is right for the page.
    readings = [cell, *(other for other in CELLS if other != cell and text in phrases(other))]
    texts = dict.fromkeys(caption for reading in readings for caption in captions(reading))
    wrong = dict.fromkeys(caption for reading in readings for caption in wrong_captions(reading))
    return PageText(text, tuple(texts), tuple(one for one in wrong if one not in texts), "/".join(cell))


def draw(text: str, font: str, size: int, rng: np.random.Generator) -> Pillow.Image:
    """Return a photographed page that says ``text``, ``size`` pixels a side, everything but the font at random."""
    big = size * drawing.SUPERSAMPLING
    dark = rng.random() < 0.12
    page = draw_paper(big, dark, rng)
    strength, value = (
        (rng.uniform(0, 0.12), rng.uniform(0.93, 1)) if dark else (rng.uniform(0, 0.9), rng.uniform(0, 0.3))
    )
    ink = drawing.hsv(rng.uniform(0, 360), strength, value)
    draw_text(page, text, font, ink, rng)
    desk = _noise_texture(drawing.hsv(rng.uniform(15, 45), rng.uniform(0, 0.6), rng.uniform(0.2, 0.75)), big, 10, rng)
    return camera_augment.simulate_photo(page, desk, size, rng)


def draw_paper(size: int, dark: bool, rng: np.random.Generator) -> Pillow.Image:
    """Return a blank square page: white to cream, or nearly black like a slate, plain, lined or squared."""
    value = rng.uniform(0.08, 0.2) if dark else rng.uniform(0.82, 1)
    color = drawing.hsv(rng.uniform(20, 60) if rng.random() < 0.7 else rng.uniform(0, 360), rng.uniform(0, 0.18), value)
    page = _noise_texture(color, size, 5, rng)
    ruling = rng.choice(RULINGS)
    if ruling != "none":
        canvas = ImageDraw.Draw(page, "RGBA")
        faint = (*drawing.hsv(rng.uniform(190, 230), 0.6, 0.7), int(rng.integers(30, 70)))
        step = int(rng.integers(size // 12, size // 6))
        for at in range(int(rng.integers(step)), size, step):
            canvas.line([(0, at), (size, at)], fill=faint, width=max(1, size // 128))
            if ruling == "squares":
                canvas.line([(at, 0), (at, size)], fill=faint, width=max(1, size // 128))
    return page


def draw_text(page: Pillow.Image, text: str, font: str, ink: drawing.Color, rng: np.random.Generator) -> None:
    """Write ``text`` on ``page`` in as many lines as make it largest, left-aligned or centred, anywhere it fits."""
    printable = page.width * (1 - 2 * camera_augment.MARGIN)
    room = printable * rng.uniform(0.88, 1)
    narrowest = max(map(len, text.split()))
    wrapped = dict.fromkeys(tuple(textwrap.wrap(text, width)) for width in range(narrowest, len(text) + 1))
    size, lines = max((_max_font_size(lines, font, room), lines) for lines in wrapped)
    face, line_height = drawing.font(font, size), LEADING * size
    widths = [face.getlength(line) for line in lines]
    left = page.width / 2 - max(widths) / 2 + (printable - max(widths)) * rng.uniform(-0.3, 0.3)
    height = line_height * len(lines)
    top = page.width / 2 - height / 2 + (printable - height) * rng.uniform(-0.3, 0.3)
    centred = rng.random() < 0.5
    canvas = ImageDraw.Draw(page)
    for at, (line, width) in enumerate(zip(lines, widths, strict=True)):
        indent = (max(widths) - width) / 2 if centred else 0
        canvas.text((left + indent, top + line_height * (at + 0.8)), line, fill=ink, font=face, anchor="ls")


def _max_font_size(lines: tuple[str, ...], font: str, room: float) -> int:
    """Return the font size in pixels at which ``lines`` fill a square of ``room`` pixels, 0.4 of it at most."""
    widest = max(drawing.font(font, 100).getlength(line) for line in lines)
    return int(room * min(100 / widest, 1 / (LEADING * len(lines)), 0.4))


def _noise_texture(color: drawing.Color, size: int, contrast: float, rng: np.random.Generator) -> Pillow.Image:
    """Return a square of one colour with the uneven tone of paper or wood, ``contrast`` of 255 at most."""
    coarse, fine = rng.standard_normal((9, 9)), rng.standard_normal((size, size))
    cloud = np.asarray(Pillow.fromarray(coarse.astype(np.float32)).resize((size, size), Pillow.Resampling.BICUBIC))
    tone = (cloud + 0.5 * fine) * rng.uniform(0.3, 1) * contrast
    return Pillow.fromarray(np.clip(np.asarray(color) + tone[..., None], 0, 255).astype(np.uint8))
