from collections import Counter

import pytest
from datasets import Dataset

from hfmm.training.sampler import EpochSeedDataset, NoDuplicateGroupsSampler


@pytest.mark.parametrize("groups", [10, 64, 200])
def test_a_batch_meets_no_group_twice_while_it_can_be_helped(groups: int) -> None:
    names = [str(row % groups) for row in range(640)]
    order = NoDuplicateGroupsSampler(names, 8, seed=0)
    batches = [list(order)[start : start + 8] for start in range(0, 640, 8)]
    assert all(len({names[row] for row in batch}) == 8 for batch in batches[:-4])


def test_every_epoch_has_each_row_once_in_an_order_of_its_own() -> None:
    order = NoDuplicateGroupsSampler(["a", "b"] * 20, 4, seed=0)
    first = list(order)
    order.set_epoch(1)
    second = [number - 40 for number in order]
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    order.set_epoch(0)
    assert list(order) == first


def test_one_group_alone_still_fills_its_batches() -> None:
    assert Counter(NoDuplicateGroupsSampler(["a"] * 10, 4, seed=0)) == Counter(range(10))


def test_a_row_knows_in_which_epoch_it_is_drawn() -> None:
    rows = EpochSeedDataset(Dataset.from_list([{"id": "a"}, {"id": "b"}]), seed=7)
    assert rows.__getitems__([1, 2]) == [{"id": "b", "draw": "7/0"}, {"id": "a", "draw": "7/1"}]
    assert rows[3] == {"id": "b", "draw": "7/1"}
