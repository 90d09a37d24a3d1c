"""Randomness that belongs to a row: the same in every process and after every resume, another in each epoch."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any


def row_seed(row: Mapping[str, Any], purpose: str) -> int:
    """Return a number that depends on the row's id, the draw of its epoch and the purpose, and on nothing else."""
    return zlib.crc32(f"{purpose}/{row.get('draw', '')}/{row['id']}".encode())
