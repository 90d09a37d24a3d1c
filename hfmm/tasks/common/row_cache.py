"""What the picture or the sound of a row becomes, kept in memory, so that later epochs need not make it again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hfmm.data.common.rows import Row

Arrays = Mapping[str, Any]  # of numpy or torch, by name

MAX_BYTES = 2**29  # bytes; the processes that prepare batches share it


class RowCache:
    """Makes arrays of rows, and remembers them by the digest of the file in ``column`` that they were made of.

    It does so until room is out; the files themselves, which the dataset reads from disk, would soon take more.
    ``make`` returns the arrays of each row, which follow from that file alone.
    """

    def __init__(self, make: Callable[[Sequence[Row]], Sequence[Arrays]], column: str) -> None:
        self.make, self.column = make, column
        self.known: dict[bytes, Arrays] = {}
        self.held = 0

    def __call__(self, rows: Sequence[Row]) -> list[Arrays]:
        """Return the arrays of each row."""
        files = [_digest(row[self.column]) for row in rows]
        found = [None if file is None else self.known.get(file) for file in files]
        missing = [place for place, one in enumerate(found) if one is None]
        made = self.make([rows[place] for place in missing]) if missing else []
        for place, one in zip(missing, made, strict=True):
            found[place] = one
            self._store(files[place], one)
        return [one for one in found if one is not None]

    def _store(self, file: bytes | None, made: Arrays) -> None:
        if file is None or file in self.known:
            return
        size = len(file) + sum(array.nbytes for array in made.values())
        if self.held + size <= _byte_budget():
            self.known[file] = made
            self.held += size


def _digest(value: Any) -> bytes | None:
    """Return that of the file that travels with a row; one that lies at a path is read each time, as it may change."""
    file = value.get("bytes") if isinstance(value, Mapping) else None
    return None if file is None else hashlib.blake2b(file).digest()


def _byte_budget() -> int:
    from torch.utils.data import get_worker_info

    worker = get_worker_info()
    return MAX_BYTES // worker.num_workers if worker else MAX_BYTES
