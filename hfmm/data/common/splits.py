"""Splits that the user's data lacks, drawn from its training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset, DatasetDict

from hfmm.errors import UserError


def add_missing_splits(data: DatasetDict, shares: Mapping[str, float], seed: int, path: str) -> DatasetDict:
    """Return train, validation and test; one that is missing takes its share of the training rows, in whole groups.

    Raises UserError, which names ``path``, where there are too few rows or groups.
    """
    splits = dict(data)
    missing = [name for name in shares if name not in splits]
    for done, name in enumerate(missing):
        where = f"data.path: {path}: no {name} split can be taken from the {len(splits['train'])} training rows"
        splits["train"], splits[name] = _split_off(splits["train"], shares[name], seed, len(missing) - done, where)
    return DatasetDict({name: splits[name] for name in ("train", "validation", "test")})


def _split_off(rows: Dataset, share: float, seed: int, leave: int, where: str) -> tuple[Dataset, Dataset]:
    """Return the rows without a share of them, and that share; ``leave`` groups are not for it."""
    count = max(1, round(len(rows) * share))
    if count >= len(rows):
        raise UserError(f"{where}: they are too few.")
    groups = _groups(rows)
    if not groups:
        parts = rows.train_test_split(test_size=count, seed=seed)
        return parts["train"], parts["test"]
    if len({*groups}) <= leave:
        raise UserError(
            f"{where}: a group stays whole, so {leave + 1} are needed, and there is {', '.join(sorted({*groups}))}. "
            "Bring that split yourself, or map no group."
        )
    drawn = _sample_groups(groups, count, seed, leave)
    kept = [row for row, group in enumerate(groups) if group not in drawn]
    return rows.select(kept), rows.select([row for row, group in enumerate(groups) if group in drawn])


def _groups(rows: Dataset) -> list[str]:
    """Return the group of each row; none where rows have none, or where each class is one, which no split may lack."""
    if "group" not in rows.column_names:
        return []
    groups = [str(one) for one in rows["group"][:]]
    labels = [str(one) for one in rows["label"][:]] if "label" in rows.column_names else []
    each_class_is_one = len({*groups}) == len({*labels}) == len({*zip(groups, labels, strict=False)})
    return [] if each_class_is_one else groups


def _sample_groups(groups: Sequence[str], count: int, seed: int, leave: int) -> set[str]:
    """Return groups that have about ``count`` rows together, and at least one; ``leave`` are left."""
    sizes = Counter(groups)
    names = sorted(sizes)
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    drawn: set[str] = set()
    rows = 0
    for name in order:
        more = rows + sizes[name]
        if len(drawn) + leave < len(names) and abs(more - count) < abs(rows - count):
            drawn.add(name)
            rows = more
    return drawn or {min(order, key=sizes.__getitem__)}
