from collections.abc import Sequence

import pytest
from datasets import Dataset, DatasetDict

from hfmm.data.common.splits import add_missing_splits
from hfmm.errors import UserError

SHARES = {"test": 0.2, "validation": 0.1}


def drawn(seed: int = 0, **columns: Sequence[object]) -> dict[str, Dataset]:
    return dict(add_missing_splits(DatasetDict(train=Dataset.from_dict(columns)), SHARES, seed, "photos"))


def test_rows_without_groups_are_drawn_one_by_one() -> None:
    rows = Dataset.from_dict({"key": list(range(30))})
    first = rows.train_test_split(test_size=6, seed=5)
    second = first["train"].train_test_split(test_size=2, seed=5)
    splits = drawn(seed=5, key=list(range(30)))
    expected = {"train": second["train"], "validation": second["test"], "test": first["test"]}
    assert {name: part["key"][:] for name, part in splits.items()} == {
        name: part["key"][:] for name, part in expected.items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_in_one_split(seed: int) -> None:
    groups = [f"speaker {index}" for index in range(40) for _ in range(1 + index % 4)]
    splits = drawn(seed=seed, group=groups, key=list(range(len(groups))))
    found = [set(part["group"][:]) for part in splits.values()]
    assert sum(map(len, found)) == len(set.union(*found)) == 40
    assert sorted(key for part in splits.values() for key in part["key"][:]) == list(range(100))
    assert [len(splits[name]) for name in SHARES] == pytest.approx([20, 8], abs=1)
    assert splits["test"]["key"][:] == drawn(seed=seed, group=groups, key=list(range(100)))["test"]["key"][:]


def test_another_seed_draws_other_groups() -> None:
    groups = [f"speaker {index}" for index in range(40) for _ in range(2)]
    assert drawn(seed=0, group=groups)["test"]["group"][:] != drawn(seed=1, group=groups)["test"]["group"][:]


@pytest.mark.parametrize("seed", range(5))
def test_a_group_too_large_for_a_share_is_trained_on(seed: int) -> None:
    splits = drawn(seed=seed, group=["big"] * 90 + ["b"] * 5 + ["c"] * 5)
    assert set(splits["train"]["group"][:]) == {"big"}
    assert {len(splits["validation"]), len(splits["test"])} == {5}


def test_too_few_groups_are_told() -> None:
    words = r"photos: no test split can be taken from the 25 .* so 3 are needed, and there is a, b\."
    with pytest.raises(UserError, match=words):
        drawn(group=["a"] * 5 + ["b"] * 20)


def test_groups_that_are_the_classes_are_divided_so_that_each_class_is_trained() -> None:
    splits = drawn(group=["a", "b"] * 15, label=[0, 1] * 15)
    assert {name: len(part) for name, part in splits.items()} == {"train": 22, "validation": 2, "test": 6}
    assert set(splits["train"]["group"][:]) == {"a", "b"}


def test_too_few_rows_are_told() -> None:
    with pytest.raises(
        UserError, match="photos: no test split can be taken from the 1 training rows: they are too few"
    ):
        drawn(key=[0])
