"""A dataset at a glance: the first rows of every split, pictures and texts as they are, sounds as they look."""

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
CHARS_PER_LINE, LINE_HEIGHT = 22, 14  # of a line under a picture, and from one line to the next


def contact_sheet(data: DatasetDict) -> Pillow.Image:
    """Return a picture of the first rows of every split under each other, captioned with their text.

    Raises UserError for a row among them that cannot be shown, with its number.
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
                tile, below = _tile(rows, index), _caption_lines(rows, index, lines)
            except UserError as error:
                raise UserError(f"{split}, row {index}: {error}") from None
            sheet.paste(tile, (x, y))
            canvas.text((x, y + TILE + 2), below, fill="black", font=small, spacing=1)
        top += LINES * (tile_height + 6)
    return sheet


def caption(rows: Dataset, index: int) -> str:
    """Return the text of a row, else its label, its first caption, or its id: the first of them that it has."""
    row = rows[index]
    label = _label_text(rows.features.get("label"), row.get("label"))
    found = (row.get("text"), label, *(row.get("captions") or ())[:1], row.get("id"))
    return next((str(one) for one in found if one), "")


def has_sound(rows: Dataset) -> bool:
    """Tell whether rows are heard, not seen."""
    return isinstance(rows.features.get("audio"), Audio)


def has_conversations(rows: Dataset) -> bool:
    """Tell whether rows are chats."""
    return "messages" in rows.features


def has_pictures(rows: Dataset) -> bool:
    """Tell whether rows are about pictures."""
    return not {"image", "images"}.isdisjoint(rows.features)


def _label_text(feature: Any, label: Any) -> str:
    """Return the name of a class, or those of several; empty where a row has none."""
    if isinstance(feature, List):
        return ", ".join(_label_text(feature.feature, one) for one in label or ())
    if isinstance(feature, ClassLabel):
        return str(feature.int2str(label)) if label is not None and label >= 0 else ""
    return "" if label is None else str(label)


def _caption_lines(rows: Dataset, index: int, lines: int) -> str:
    """Return what stands under a tile: the row's text, or the last question with its answer."""
    if not has_conversations(rows):
        return caption(rows, index)[:CHARS_PER_LINE]
    last = {message["role"]: message_text(message) for message in normalize_messages(rows[index])}
    answer = textwrap.wrap(last.get("assistant", ""), CHARS_PER_LINE - 2)[: lines - 1]
    question = textwrap.wrap(last["user"], CHARS_PER_LINE - 2)[: lines - len(answer)]
    return "\n".join([*question, *(f"> {line}" for line in answer)])


def _tile(rows: Dataset, index: int) -> Pillow.Image:
    row = rows[index]
    if has_sound(rows):
        return draw_waveform_and_mel(audio.decode(row["audio"]), TILE, TILE)
    chats = has_conversations(rows)
    pictures = row.get("images") if chats else [row.get("image")]
    if pictures and pictures[0] is not None:
        return images.decode(pictures[0]).resize((TILE, TILE), Pillow.Resampling.BICUBIC)
    # What a conversation is about, where its row says that apart; else the conversation itself.
    texts = (
        [message_text(one) for one in normalize_messages(row)]
        if chats and not row.get("text")
        else [caption(rows, index)]
    )
    lines = [line for text in texts for line in textwrap.wrap(text, CHARS_PER_LINE - 2)][: TILE // LINE_HEIGHT]
    tile = Pillow.new("RGB", (TILE, TILE), "white")
    ImageDraw.Draw(tile).text((2, 2), "\n".join(lines), fill="black", font=drawing.font("DejaVuSerif", 11))
    return tile
