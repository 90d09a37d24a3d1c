"""Which cell a drawn row shows: every cell equally often, and none in two splits where cells are held out."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hfmm.data.synthesis import SPLITS, Split
from hfmm.grammar import CELLS, Cell


def cell_of_row(seed: int, split: Split, index: int, hold_out: bool) -> Cell:
    """Return the cell of a row; the rows of a split are one shuffled pass over its cells after another."""
    cells = cells_of_split(seed, split) if hold_out else CELLS
    passes = np.random.default_rng([seed, SPLITS.index(split), 1, index // len(cells)])
    position: int = passes.permutation(len(cells))[index % len(cells)]
    return cells[position]


@lru_cache
def cells_of_split(seed: int, split: Split) -> tuple[Cell, ...]:
    """Return the cells that a split has to itself: 70 % train, 10 % validate and 20 % test."""
    order = np.random.default_rng([seed, 3]).permutation(len(CELLS))
    first, second = len(CELLS) * 7 // 10, len(CELLS) * 8 // 10
    part = {"train": order[:first], "validation": order[first:second], "test": order[second:]}[split]
    return tuple(CELLS[index] for index in sorted(part))
