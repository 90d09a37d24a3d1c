"""Columns of images or audio, and the bytes of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Audio, Image, List

from hfmm.errors import UserError


def media_feature(feature: Any) -> Image | Audio | None:
    """Return the image or audio feature of a column or of its list elements; None for other columns."""
    element = feature.feature if isinstance(feature, List) else feature
    return element if isinstance(element, Image | Audio) else None


def replace_media_feature(feature: Any, media: Image | Audio) -> Image | Audio | List:
    """Return the feature of a media column with ``media`` as its image or audio feature."""
    return List(media) if isinstance(feature, List) else media


def read_bytes(value: Any) -> bytes:
    """Return the bytes of ``{"bytes", "path"}`` or of a path; raises OSError or TypeError if there are none."""
    data = value.get("bytes") if isinstance(value, dict) else None
    path: Any = value.get("path") if isinstance(value, dict) else value
    return bytes(data) if data is not None else Path(path).read_bytes()


def read_media(value: Any, kind: str) -> tuple[str, bytes]:
    """Return the name and the bytes of a media file; raises UserError if it is missing or empty."""
    path = value.get("path") if isinstance(value, dict) else value
    name = Path(path).name if path else f"the {kind}"
    try:
        data = read_bytes(value)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist.") from None
    except TypeError:
        raise UserError(f"{name} is missing: the row has neither bytes nor a path.") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}.") from None
    if not data:
        raise UserError(f"{name} is empty (zero bytes).")
    return name, data
