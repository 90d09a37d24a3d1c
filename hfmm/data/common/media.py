"""Columns that hold images or audio, and the bytes behind each value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Audio, Image, List

from hfmm.errors import UserError


def media_feature(feature: Any) -> Image | Audio | None:
    """Return the image or sound that a column holds or lists; None for other columns."""
    held = feature.feature if isinstance(feature, List) else feature
    return held if isinstance(held, Image | Audio) else None


def replace_media_feature(feature: Any, other: Image | Audio) -> Image | Audio | List:
    """Return the feature of a column of media with another image or sound in its place."""
    return List(other) if isinstance(feature, List) else other


def read_bytes(value: Any) -> bytes:
    """Return the bytes of ``{"bytes", "path"}`` or of a path; raises OSError or TypeError where there are none."""
    data = value.get("bytes") if isinstance(value, dict) else None
    path: Any = value.get("path") if isinstance(value, dict) else value
    return bytes(data) if data is not None else Path(path).read_bytes()


def read_media(value: Any, kind: str) -> tuple[str, bytes]:
    """Return the name and the bytes of a media file; raises UserError for a missing or an empty one."""
    path = value.get("path") if isinstance(value, dict) else value
    name = Path(path).name if path else f"the {kind}"
    try:
        data = read_bytes(value)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist.") from None
    except TypeError:
        raise UserError(f"{name} is missing: the row holds neither bytes nor a path.") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}.") from None
    if not data:
        raise UserError(f"{name} is empty (zero bytes).")
    return name, data
