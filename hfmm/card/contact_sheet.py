"""The contact sheet of a dataset: the first rows of every split as images, audio as spectrograms."""

from __future__ import annotations

import textwrap
from typing import Any

from datasets import Audio, ClassLabel, Dataset, DatasetDict, List
from PIL import Image as Pillow
from PIL import ImageDraw

from hfmm.card.spectrogram import draw_waveform_and_mel
from hfmm.data.common import audio, drawing, images
from hfmm.data.common.messages import message_text, normalize_messages
from hfmm.errors import UserError

COLUMNS, LINES, TILE = 8, 2, 128
CHARS_PER_LINE, LINE_HEIGHT = 22, 14  # of the text below a tile


def contact_sheet(data: DatasetDict) -> Pillow.Image:
    """Return an image of the first rows of every split, with their text below each tile.

    Raises UserError with the split and the index of a row that could not be decoded.
    """
    lines = 7 if has_conversations(data["train"]) else 1
    tile_height = TILE + 4 + LINE_HEIGHT * lines
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
            try:
                tile, tile_text = _tile(rows, index), _caption_lines(rows, index, lines)
            except UserError as error:
                raise UserError(f"{split}, row {index}: {error}") from None
            sheet.paste(tile, (x, y))
            canvas.text((x, y + TILE + 2), tile_text, fill="black", font=small, spacing=1)
        top += LINES * (tile_height + 6)
    return sheet


def caption(rows: Dataset, index: int) -> str:
    """Return the text of a row. Without one, return its label, its first caption or its id."""
    row = rows[index]
    label = _label_text(rows.features.get("label"), row.get("label"))
    candidates = (row.get("text"), label, *(row.get("captions") or ())[:1], row.get("id"))
    return next((str(candidate) for candidate in candidates if candidate), "")


def has_sound(rows: Dataset) -> bool:
    """Return whether the rows are audio clips."""
    return isinstance(rows.features.get("audio"), Audio)


def has_conversations(rows: Dataset) -> bool:
    """Return whether the rows are conversations."""
    return "messages" in rows.features


def has_pictures(rows: Dataset) -> bool:
    """Return whether the rows have images."""
    return not {"image", "images"}.isdisjoint(rows.features)


def _label_text(feature: Any, label: Any) -> str:
    """Return the class name or names of a label, empty if the row has none."""
    if isinstance(feature, List):
        return ", ".join(_label_text(feature.feature, item) for item in label or ())
    if isinstance(feature, ClassLabel):
        return str(feature.int2str(label)) if label is not None and label >= 0 else ""
    return "" if label is None else str(label)


def _caption_lines(rows: Dataset, index: int, lines: int) -> str:
    """Return the text below a tile: the caption of the row, or its last question with the answer."""
    if not has_conversations(rows):
        return caption(rows, index)[:CHARS_PER_LINE]
    last_by_role = {message["role"]: message_text(message) for message in normalize_messages(rows[index])}
    answer = textwrap.wrap(last_by_role.get("assistant", ""), CHARS_PER_LINE - 2)[: lines - 1]
    question = textwrap.wrap(last_by_role["user"], CHARS_PER_LINE - 2)[: lines - len(answer)]
    return "\n".join([*question, *(f"> {line}" for line in answer)])


def _tile(rows: Dataset, index: int) -> Pillow.Image:
    row = rows[index]
    if has_sound(rows):
        return draw_waveform_and_mel(audio.decode(row["audio"]), TILE, TILE)
    is_chat = has_conversations(rows)
    row_images = row.get("images") if is_chat else [row.get("image")]
    if row_images and row_images[0] is not None:
        return images.decode(row_images[0]).resize((TILE, TILE), Pillow.Resampling.BICUBIC)
    # A conversation may have its subject in the column "text". Otherwise its messages are shown.
    texts = (
        [message_text(message) for message in normalize_messages(row)]
        if is_chat and not row.get("text")
        else [caption(rows, index)]
    )
    lines = [line for text in texts for line in textwrap.wrap(text, CHARS_PER_LINE - 2)][: TILE // LINE_HEIGHT]
    tile = Pillow.new("RGB", (TILE, TILE), "white")
    ImageDraw.Draw(tile).text((2, 2), "\n".join(lines), fill="black", font=drawing.font("DejaVuSerif", 11))
    return tile
