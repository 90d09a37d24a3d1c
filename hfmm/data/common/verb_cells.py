"""Which cell a drawn row shows: every cell equally often, and none in two splits where cells are held out."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hfmm.data.common.generate import SPLITS, Split
from hfmm.grammar import CELLS, VerbCell


def cell_for_row(seed: int, split: Split, index: int, hold_out: bool) -> VerbCell:
    """Return the cell of a row: every cell of the split in turn."""
    cells = cells_in_split(seed, split) if hold_out else CELLS
    return cells[balanced_index(seed, split, index, len(cells))]


def balanced_index(seed: int, split: Split, index: int, count: int) -> int:
    """Return whose turn it is among ``count``: the rows of a split are one shuffled pass after another."""
    return int(_permutation(seed, split, index // count, count)[index % count])


@lru_cache(maxsize=8)
def _permutation(seed: int, split: Split, passes: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, SPLITS.index(split), 1, passes]).permutation(count)


@lru_cache
def cells_in_split(seed: int, split: Split, cells: tuple[VerbCell, ...] = CELLS) -> tuple[VerbCell, ...]:
    """Return those of ``cells`` that a split has to itself: 70 % train, 10 % validate and 20 % test."""
    order = np.random.default_rng([seed, 3]).permutation(len(cells))
    first, second = len(cells) * 7 // 10, len(cells) * 8 // 10
    part = {"train": order[:first], "validation": order[first:second], "test": order[second:]}[split]
    return tuple(cells[index] for index in sorted(part))
