from collections import Counter

import pytest

from hfmm.data.common.generate import SPLITS
from hfmm.data.common.verb_cells import cell_for_row, cells_in_split
from hfmm.grammar import CELLS


@pytest.mark.parametrize("hold_out", [False, True])
def test_every_cell_comes_equally_often(hold_out: bool) -> None:
    cells = cells_in_split(5, "test") if hold_out else CELLS
    counts = Counter(cell_for_row(5, "test", index, hold_out) for index in range(3 * len(cells)))
    assert counts == dict.fromkeys(cells, 3)


def test_splits_that_hold_out_cells_share_none_and_leave_none_out() -> None:
    parts = [cells_in_split(5, split) for split in SPLITS]
    assert sorted(cell for part in parts for cell in part) == sorted(CELLS)
    assert [len(part) for part in parts] == [210, 30, 60]


def test_the_order_depends_on_the_seed_and_the_split() -> None:
    def order(seed: int, split: str) -> list[object]:
        return [cell_for_row(seed, split, index, False) for index in range(20)]  # type: ignore[arg-type]

    assert order(0, "train") != order(1, "train")
    assert order(0, "train") != order(0, "test")
