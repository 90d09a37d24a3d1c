"""Sample the splits that a user's dataset lacks from its training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset, DatasetDict

from hfmm.errors import UserError


def add_missing_splits(data: DatasetDict, shares: Mapping[str, float], seed: int, path: str) -> DatasetDict:
    """Return train, validation and test. A missing split is sampled from the training rows, in whole groups.

    ``shares`` maps a split to its share of the training rows, and ``path`` is used in error messages. Raises UserError
    if there are too few rows or groups.
    """
    splits = dict(data)
    missing = [name for name in shares if name not in splits]
    for index, name in enumerate(missing):
        prefix = f"data.path: {path}: the {name} split cannot be sampled from the {len(splits['train'])} training rows"
        min_groups = len(missing) - index  # one for train and one for each split that is still to be sampled
        splits["train"], splits[name] = _split_off(splits["train"], shares[name], seed, min_groups, prefix)
    return DatasetDict({name: splits[name] for name in ("train", "validation", "test")})


def _split_off(rows: Dataset, share: float, seed: int, min_groups: int, prefix: str) -> tuple[Dataset, Dataset]:
    """Return the remaining rows and a sampled share of the rows. At least ``min_groups`` groups remain.

    ``prefix`` starts every error message.
    """
    count = max(1, round(len(rows) * share))
    if count >= len(rows):
        raise UserError(f"{prefix}: there are too few rows.")
    groups = _groups(rows)
    if not groups:
        splits = rows.train_test_split(test_size=count, seed=seed)
        return splits["train"], splits["test"]
    if len({*groups}) <= min_groups:
        raise UserError(
            f"{prefix}: groups are not divided, so {min_groups + 1} groups are needed, but there are only "
            f"{', '.join(sorted({*groups}))}. Provide that split yourself, or do not map a group column."
        )
    sampled = _sample_groups(groups, count, seed, min_groups)
    remaining = [index for index, group in enumerate(groups) if group not in sampled]
    return rows.select(remaining), rows.select([index for index, group in enumerate(groups) if group in sampled])


def _groups(rows: Dataset) -> list[str]:
    """Return the group of each row, or an empty list if there is no group column or if the groups are the classes.

    Classes are divided between the splits, because every split needs all of them.
    """
    if "group" not in rows.column_names:
        return []
    groups = [str(group) for group in rows["group"][:]]
    labels = [str(label) for label in rows["label"][:]] if "label" in rows.column_names else []
    groups_are_classes = len({*groups}) == len({*labels}) == len({*zip(groups, labels, strict=False)})
    return [] if groups_are_classes else groups


def _sample_groups(groups: Sequence[str], count: int, seed: int, min_groups: int) -> set[str]:
    """Return at least one group, with about ``count`` rows in total. At least ``min_groups`` groups remain."""
    sizes = Counter(groups)
    names = sorted(sizes)
    shuffled = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    sampled: set[str] = set()
    num_rows = 0
    for name in shuffled:
        new_num_rows = num_rows + sizes[name]
        if len(sampled) + min_groups < len(names) and abs(new_num_rows - count) < abs(num_rows - count):
            sampled.add(name)
            num_rows = new_num_rows
    return sampled or {min(shuffled, key=sizes.__getitem__)}
