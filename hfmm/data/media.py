"""Which columns hold images or sounds, one a row or a list of them."""

from __future__ import annotations

from typing import Any

from datasets import Audio, Image, List


def medium(feature: Any) -> Image | Audio | None:
    """Return the image or sound that a column holds or lists; None for other columns."""
    held = feature.feature if isinstance(feature, List) else feature
    return held if isinstance(held, Image | Audio) else None


def with_medium(feature: Any, other: Image | Audio) -> Image | Audio | List:
    """Return the feature of a column of media with another image or sound in its place."""
    return List(other) if isinstance(feature, List) else other
