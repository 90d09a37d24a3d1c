"""Choose the cell of each row: all cells equally often, and in one split only if cells are held out."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hfmm.data.common.generate import SPLITS, Split
from hfmm.grammar import CELLS, VerbCell


def cell_for_row(seed: int, split: Split, index: int, hold_out: bool) -> VerbCell:
    """Return the cell of a row, which cycles through the cells of the split."""
    cells = cells_in_split(seed, split) if hold_out else CELLS
    return cells[balanced_index(seed, split, index, len(cells))]


def balanced_index(seed: int, split: Split, index: int, count: int) -> int:
    """Return the index among ``count`` items for a row: each pass over the items has its own order."""
    return int(_permutation(seed, split, index // count, count)[index % count])


@lru_cache(maxsize=8)
def _permutation(seed: int, split: Split, pass_index: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, SPLITS.index(split), 1, pass_index]).permutation(count)


@lru_cache
def cells_in_split(seed: int, split: Split, cells: tuple[VerbCell, ...] = CELLS) -> tuple[VerbCell, ...]:
    """Return the cells of a split when cells are held out: 70 % train, 10 % validation and 20 % test."""
    order = np.random.default_rng([seed, 3]).permutation(len(cells))
    train_end, validation_end = len(cells) * 7 // 10, len(cells) * 8 // 10
    indices = {
        "train": order[:train_end],
        "validation": order[train_end:validation_end],
        "test": order[validation_end:],
    }[split]
    return tuple(cells[index] for index in sorted(indices))
