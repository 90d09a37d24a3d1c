from collections import Counter

import pytest

from hfmm.data.common.generate import SPLITS
from hfmm.data.common.verb_cells import cell_for_row, cells_in_split
from hfmm.grammar import CELLS


@pytest.mark.parametrize("hold_out", [False, True])
def test_all_cells_are_used_equally_often(hold_out: bool) -> None:
    cells = cells_in_split(5, "test") if hold_out else CELLS
    counts = Counter(cell_for_row(5, "test", index, hold_out) for index in range(3 * len(cells)))
    assert counts == dict.fromkeys(cells, 3)


def test_held_out_cells_are_partitioned_between_splits() -> None:
    cells_of_splits = [cells_in_split(5, split) for split in SPLITS]
    assert sorted(cell for cells in cells_of_splits for cell in cells) == sorted(CELLS)
    assert [len(cells) for cells in cells_of_splits] == [210, 30, 60]


def test_cell_order_depends_on_seed_and_split() -> None:
    def first_cells(seed: int, split: str) -> list[object]:
        return [cell_for_row(seed, split, index, False) for index in range(20)]  # type: ignore[arg-type]

    assert first_cells(0, "train") != first_cells(1, "train")
    assert first_cells(0, "train") != first_cells(0, "test")
