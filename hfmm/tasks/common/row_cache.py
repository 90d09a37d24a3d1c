"""Keep the arrays of images and clips in memory, so that later epochs need not compute them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hfmm.data.common.rows import Row

Arrays = Mapping[str, Any]  # numpy or torch arrays by name

MAX_BYTES = 2**29  # shared by all data loader workers


class RowCache:
    """Computes the arrays of rows, and caches them by the digest of the file in ``column``.

    When the cache is full, further arrays are computed each time. The files are not cached: the dataset reads them from
    disk, and they would soon use more memory.

    Args:
        compute: Returns the arrays of each row. They must depend on the file in ``column`` only.
        column: The column of the files.
    """

    def __init__(self, compute: Callable[[Sequence[Row]], Sequence[Arrays]], column: str) -> None:
        self.compute, self.column = compute, column
        self.arrays_by_digest: dict[bytes, Arrays] = {}
        self.num_bytes = 0

    def __call__(self, rows: Sequence[Row]) -> list[Arrays]:
        """Return the arrays of each row."""
        digests = [_digest(row[self.column]) for row in rows]
        results = [None if digest is None else self.arrays_by_digest.get(digest) for digest in digests]
        missing = [index for index, arrays in enumerate(results) if arrays is None]
        computed = self.compute([rows[index] for index in missing]) if missing else []
        for index, arrays in zip(missing, computed, strict=True):
            results[index] = arrays
            self._store(digests[index], arrays)
        return [arrays for arrays in results if arrays is not None]

    def _store(self, digest: bytes | None, arrays: Arrays) -> None:
        if digest is None or digest in self.arrays_by_digest:
            return
        size = len(digest) + sum(array.nbytes for array in arrays.values())
        if self.num_bytes + size <= _byte_budget():
            self.arrays_by_digest[digest] = arrays
            self.num_bytes += size


def _digest(value: Any) -> bytes | None:
    """Return the digest of a file that is stored in the row, or None for a file at a path, which may change."""
    file = value.get("bytes") if isinstance(value, Mapping) else None
    return None if file is None else hashlib.blake2b(file).digest()


def _byte_budget() -> int:
    from torch.utils.data import get_worker_info

    worker = get_worker_info()
    return MAX_BYTES // worker.num_workers if worker else MAX_BYTES
