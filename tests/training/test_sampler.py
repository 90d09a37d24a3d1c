from collections import Counter

import pytest
from datasets import Dataset

from hfmm.training.sampler import EpochSeedDataset, NoDuplicateGroupsSampler


@pytest.mark.parametrize("num_groups", [10, 64, 200])
def test_a_batch_has_no_duplicate_groups_before_the_last_batches(num_groups: int) -> None:
    groups = [str(row % num_groups) for row in range(640)]
    sampler = NoDuplicateGroupsSampler(groups, 8, seed=0)
    batches = [list(sampler)[start : start + 8] for start in range(0, 640, 8)]
    assert all(len({groups[row] for row in batch}) == 8 for batch in batches[:-4])


def test_every_epoch_has_each_row_once_in_its_own_order() -> None:
    sampler = NoDuplicateGroupsSampler(["a", "b"] * 20, 4, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = [index - 40 for index in sampler]
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_a_single_group_still_fills_its_batches() -> None:
    assert Counter(NoDuplicateGroupsSampler(["a"] * 10, 4, seed=0)) == Counter(range(10))


def test_rows_have_the_seed_and_the_epoch_of_their_index() -> None:
    rows = EpochSeedDataset(Dataset.from_list([{"id": "a"}, {"id": "b"}]), seed=7)
    assert rows.__getitems__([1, 2]) == [{"id": "b", "draw": "7/0"}, {"id": "a", "draw": "7/1"}]
    assert rows[3] == {"id": "b", "draw": "7/1"}
