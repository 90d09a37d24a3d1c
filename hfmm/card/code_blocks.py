"""Read code and output back from a card."""

from __future__ import annotations

import re


def code_block(card: str, language: str) -> str | None:
    """Return the first fenced code block of a language in a card, or None."""
    match = re.search(rf"```{language}\n(.*?)```", card, re.DOTALL)
    return match[1] if match else None
