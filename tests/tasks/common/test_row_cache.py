from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hfmm.data.common.rows import Row
from hfmm.tasks.common import row_cache
from hfmm.tasks.common.row_cache import RowCache


def row(name: str) -> Row:
    return {"image": {"bytes": name.encode(), "path": None}}


def recording_cache() -> tuple[RowCache, list[str]]:
    """Return a cache of arrays of 8 bytes, and the list of the names that it computed."""
    computed: list[str] = []

    def compute(rows: Sequence[Row]) -> list[dict[str, Any]]:
        names = [row["image"]["bytes"].decode() for row in rows]
        computed.extend(names)
        return [{"length": np.array([len(name)], np.int64)} for name in names]

    return RowCache(compute, "image"), computed


def test_each_file_is_computed_once() -> None:
    cache, computed = recording_cache()
    first, second = cache([row("a"), row("bbb")]), cache([row("bbb"), row("cc"), row("a")])
    assert [int(arrays["length"][0]) for arrays in first] == [1, 3]
    assert [int(arrays["length"][0]) for arrays in second] == [3, 2, 1]
    assert computed == ["a", "bbb", "cc"]


def test_full_cache_computes_further_files_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "MAX_BYTES", 150)  # a digest has 64 bytes
    cache, computed = recording_cache()
    for _ in range(2):
        cache([row("a"), row("b"), row("c")])
    assert computed == ["a", "b", "c", "c"]


def test_num_bytes_counts_digests_and_arrays_only() -> None:
    cache, computed = recording_cache()
    cache([row("long" * 1000), row("long" * 1000), row("b")])
    sizes = [len(digest) + arrays["length"].nbytes for digest, arrays in cache.arrays_by_digest.items()]
    assert cache.num_bytes == 2 * (64 + 8) == sum(sizes)
    assert len(cache([row("long" * 1000)])) == 1 and len(computed) == 3


def test_file_at_a_path_is_not_cached() -> None:
    computed: list[Row] = []

    def compute(rows: Sequence[Row]) -> list[dict[str, Any]]:
        computed.extend(rows)
        return [{"x": np.zeros(1)} for _ in rows]

    cache = RowCache(compute, "image")
    path_row = {"image": {"bytes": None, "path": "a.png"}}
    cache([path_row])
    cache([path_row, {"image": "a.png"}])
    assert len(computed) == 3
