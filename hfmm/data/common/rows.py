"""The type of a dataset row, shared by builders, tasks and metrics, and batches of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

Row = Mapping[str, Any]
Item = TypeVar("Item")


def iter_batches(items: Iterable[Item], batch_size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of ``batch_size``; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, batch_size)):
        yield batch
