"""Code and output that a card shows, read back out of it."""

from __future__ import annotations

import re


def code_block(card: str, language: str) -> str | None:
    """Return the first block of a card that is fenced as a language, or None."""
    found = re.search(rf"```{language}\n(.*?)```", card, re.DOTALL)
    return found[1] if found else None
