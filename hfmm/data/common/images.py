"""Decode and encode the image values of rows."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from hfmm.data.common.media import read_media
from hfmm.errors import UserError


def decode(value: Any) -> Image.Image:
    """Return an upright RGB image from ``{"bytes", "path"}``, a path, or a PIL image.

    Raises UserError for a file that is missing, empty, truncated or not an image, that has more than 8 bits per gray
    level, or that Pillow rejects as a possible decompression bomb.
    """
    if isinstance(value, Image.Image):
        return _to_rgb(value, "the image")
    name, data = read_media(value, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return _to_rgb(ImageOps.exif_transpose(image), name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(
            f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels and may be a decompression bomb."
        ) from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not an image that Pillow can read.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{name} is damaged: {error}.") from None


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    # Pillow clips these values at 255, which results in a white image.
    if image.mode == "F" or image.mode.startswith("I"):
        raise UserError(
            f"{name} has more than 8 bits per gray level (Pillow mode {image.mode}), so its brightness range is "
            "unknown. Save it with 8 bits."
        )
    return image.convert("RGB")


def decode_rows(rows: Iterable[Mapping[str, Any]]) -> list[Image.Image]:
    """Return the image of each row; raises UserError like `decode`, with the id of the row."""
    images = []
    for row in rows:
        try:
            images.append(decode(row["image"]))
        except UserError as error:
            raise UserError(f"row {row['id']}: {error}") from None
    return images


def encode(image: Image.Image) -> dict[str, Any]:
    """Return the row value of an image: PNG bytes, with fast rather than strong compression."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return {"bytes": buffer.getvalue(), "path": None}
