"""Seeds of random numbers by row: the same in every process and after every resume, different in each epoch."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any


def row_seed(row: Mapping[str, Any], purpose: str) -> int:
    """Return a seed that depends only on the id of the row, its column ``draw`` and the purpose."""
    return zlib.crc32(f"{purpose}/{row.get('draw', '')}/{row['id']}".encode())
