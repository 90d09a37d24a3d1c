"""How a builder that draws its rows makes three splits, in any number of processes, with the same result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from datasets import Dataset, DatasetDict, Features

from hfmm.recipe.validation import StrictModel

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

MIN_ROWS_FOR_MULTIPROCESSING = 500  # fewer rows are drawn before a second process has started

OptionsType = TypeVar("OptionsType", bound=StrictModel)


def split_sizes(options: StrictModel) -> dict[Split, int]:
    """Return how many rows the options give each split, under whose names they have them."""
    return {split: getattr(options, split) for split in SPLITS}


def generate_splits(
    rows: Callable[[OptionsType, Split, list[int]], Iterator[dict[str, Any]]],
    options: OptionsType,
    features: Features,
    cache: Path,
    num_proc: int,
) -> DatasetDict:
    """Return the splits that ``rows(options, split, indices)`` yields, written to Arrow files below ``cache``.

    ``rows`` must make row i from the options, the split and i alone.
    """
    return DatasetDict(
        {
            split: Dataset.from_generator(
                rows,
                features=features,
                cache_dir=str(cache),
                gen_kwargs={"options": options, "split": split, "indices": list(range(size))},
                num_proc=num_proc if num_proc > 1 and size >= MIN_ROWS_FOR_MULTIPROCESSING else None,
                split=split,
            )
            for split, size in split_sizes(options).items()
        }
    )
