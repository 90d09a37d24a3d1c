from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hfmm.data.common.rows import Row
from hfmm.tasks.common import row_cache
from hfmm.tasks.common.row_cache import RowCache


def row(name: str) -> Row:
    return {"image": {"bytes": name.encode(), "path": None}}


def counting() -> tuple[RowCache, list[str]]:
    """A ``Kept`` of arrays of 8 bytes, and the names of what it made."""
    made: list[str] = []

    def make(rows: Sequence[Row]) -> list[dict[str, Any]]:
        names = [one["image"]["bytes"].decode() for one in rows]
        made.extend(names)
        return [{"length": np.array([len(name)], np.int64)} for name in names]

    return RowCache(make, "image"), made


def test_a_file_is_made_once_whatever_batch_it_comes_in() -> None:
    keep, made = counting()
    first, again = keep([row("a"), row("bbb")]), keep([row("bbb"), row("cc"), row("a")])
    assert [int(one["length"][0]) for one in first] == [1, 3]
    assert [int(one["length"][0]) for one in again] == [3, 2, 1]
    assert made == ["a", "bbb", "cc"]


def test_when_room_is_out_the_rest_is_made_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "MAX_BYTES", 150)  # digests are of 64 bytes
    keep, made = counting()
    for _ in range(2):
        keep([row("a"), row("b"), row("c")])
    assert made == ["a", "b", "c", "c"]


def test_what_is_held_is_what_is_counted_however_large_the_files_are() -> None:
    keep, made = counting()
    keep([row("long" * 1000), row("long" * 1000), row("b")])
    assert keep.held == 2 * (64 + 8) == sum(len(key) + one["length"].nbytes for key, one in keep.known.items())
    assert len(keep([row("long" * 1000)])) == 1 and len(made) == 3


def test_a_file_at_a_path_is_read_each_time() -> None:
    made: list[Row] = []

    def make(rows: Sequence[Row]) -> list[dict[str, Any]]:
        made.extend(rows)
        return [{"x": np.zeros(1)} for _ in rows]

    keep = RowCache(make, "image")
    at_a_path = {"image": {"bytes": None, "path": "a.png"}}
    keep([at_a_path])
    keep([at_a_path, {"image": "a.png"}])
    assert len(made) == 3
