"""A dataset at a glance: the first rows of every split, pictures and texts as they are, sounds as they look."""

from __future__ import annotations

import textwrap
from typing import Any

from datasets import Audio, ClassLabel, Dataset, DatasetDict
from PIL import Image as Pillow
from PIL import ImageDraw

from hfmm.data import audio, drawing, images
from hfmm.data.messages import answers, conversation
from hfmm.data.spectrogram import picture_of

COLUMNS, LINES, TILE = 8, 2, 128
LETTERS, LEADING = 22, 14  # of a line under a picture, and from one line to the next


def contact_sheet(data: DatasetDict) -> Pillow.Image:
    """Return a picture of the first rows of every split under each other, captioned with their text."""
    lines = 7 if has_conversations(data["train"]) else 1
    tile_height = TILE + 4 + LEADING * lines
    sheet = Pillow.new("RGB", (COLUMNS * (TILE + 8) + 8, len(data) * (LINES * (tile_height + 6) + 26)), "white")
    canvas = ImageDraw.Draw(sheet)
    heading, small = drawing.font("DejaVuSans-Bold", 15), drawing.font("DejaVuSans", 11)
    top = 4
    for split, rows in data.items():
        canvas.text((8, top), f"{split} ({len(rows):,} rows)", fill="black", font=heading)
        top += 24
        for index in range(min(LINES * COLUMNS, len(rows))):
            x = 8 + index % COLUMNS * (TILE + 8)
            y = top + index // COLUMNS * (tile_height + 6)
            sheet.paste(_tile(rows, index), (x, y))
            canvas.text((x, y + TILE + 2), _words(rows, index, lines), fill="black", font=small, spacing=1)
        top += LINES * (tile_height + 6)
    return sheet


def caption(rows: Dataset, index: int) -> str:
    """Return the text of a row, or its label where it has none."""
    row = rows[index]
    if row.get("text"):
        return str(row["text"])
    feature: Any = rows.features["label"]
    if isinstance(feature, ClassLabel):
        return str(feature.int2str(row["label"]))
    return ", ".join(feature.feature.int2str(row["label"]))


def has_sound(rows: Dataset) -> bool:
    """Tell whether rows are heard, not seen."""
    return isinstance(rows.features.get("audio"), Audio)


def has_conversations(rows: Dataset) -> bool:
    """Tell whether rows are chats."""
    return "messages" in rows.features


def has_pictures(rows: Dataset) -> bool:
    """Tell whether rows are about pictures."""
    return not {"image", "images"}.isdisjoint(rows.features)


def _words(rows: Dataset, index: int, lines: int) -> str:
    """Return what stands under a picture: its text, or the last question about it with its answer."""
    if not has_conversations(rows):
        return caption(rows, index)[:LETTERS]
    messages = conversation(rows[index])
    *_, question = (part["text"] for part in messages[-2]["content"] if part["type"] == "text")
    wrapped = [textwrap.wrap(text, LETTERS - 2) for text in (question, answers(messages)[-1])]
    return "\n".join([*wrapped[0][: lines - len(wrapped[1])], *(f"> {line}" for line in wrapped[1])])


def _tile(rows: Dataset, index: int) -> Pillow.Image:
    if has_sound(rows):
        return picture_of(audio.decode(rows[index]["audio"]), TILE, TILE)
    row = rows[index]
    if not has_pictures(rows):
        tile = Pillow.new("RGB", (TILE, TILE), "white")
        lines = textwrap.wrap(row["text"], LETTERS - 2)
        ImageDraw.Draw(tile).text((2, 2), "\n".join(lines), fill="black", font=drawing.font("DejaVuSerif", 11))
        return tile
    picture = row["images"][0] if has_conversations(rows) else row["image"]
    return images.decode(picture).resize((TILE, TILE), Pillow.Resampling.BICUBIC)
