from collections.abc import Sequence

import pytest
from datasets import Dataset, DatasetDict

from hfmm.data.common.splits import add_missing_splits
from hfmm.errors import UserError

SHARES = {"test": 0.2, "validation": 0.1}


def split_rows(seed: int = 0, **columns: Sequence[object]) -> dict[str, Dataset]:
    return dict(add_missing_splits(DatasetDict(train=Dataset.from_dict(columns)), SHARES, seed, "photos"))


def test_rows_without_groups_are_sampled_individually() -> None:
    rows = Dataset.from_dict({"key": list(range(30))})
    test_split = rows.train_test_split(test_size=6, seed=5)
    validation_split = test_split["train"].train_test_split(test_size=2, seed=5)
    splits = split_rows(seed=5, key=list(range(30)))
    expected = {"train": validation_split["train"], "validation": validation_split["test"], "test": test_split["test"]}
    assert {name: rows["key"][:] for name, rows in splits.items()} == {
        name: rows["key"][:] for name, rows in expected.items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_not_divided(seed: int) -> None:
    groups = [f"speaker {index}" for index in range(40) for _ in range(1 + index % 4)]
    splits = split_rows(seed=seed, group=groups, key=list(range(len(groups))))
    groups_of_splits = [set(rows["group"][:]) for rows in splits.values()]
    assert sum(map(len, groups_of_splits)) == len(set.union(*groups_of_splits)) == 40
    assert sorted(key for rows in splits.values() for key in rows["key"][:]) == list(range(100))
    assert [len(splits[name]) for name in SHARES] == pytest.approx([20, 8], abs=1)
    assert splits["test"]["key"][:] == split_rows(seed=seed, group=groups, key=list(range(100)))["test"]["key"][:]


def test_seed_changes_sampled_groups() -> None:
    groups = [f"speaker {index}" for index in range(40) for _ in range(2)]
    assert split_rows(seed=0, group=groups)["test"]["group"][:] != split_rows(seed=1, group=groups)["test"]["group"][:]


@pytest.mark.parametrize("seed", range(5))
def test_group_larger_than_share_stays_in_train(seed: int) -> None:
    splits = split_rows(seed=seed, group=["big"] * 90 + ["b"] * 5 + ["c"] * 5)
    assert set(splits["train"]["group"][:]) == {"big"}
    assert {len(splits["validation"]), len(splits["test"])} == {5}


def test_too_few_groups_are_reported() -> None:
    message = r"photos: the test split cannot be sampled from the 25 .* so 3 groups are needed, .* only a, b\."
    with pytest.raises(UserError, match=message):
        split_rows(group=["a"] * 5 + ["b"] * 20)


def test_groups_equal_to_classes_are_divided() -> None:
    splits = split_rows(group=["a", "b"] * 15, label=[0, 1] * 15)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 22, "validation": 2, "test": 6}
    assert set(splits["train"]["group"][:]) == {"a", "b"}


def test_too_few_rows_are_reported() -> None:
    with pytest.raises(
        UserError, match="photos: the test split cannot be sampled from the 1 training rows: there are too few rows"
    ):
        split_rows(key=[0])
