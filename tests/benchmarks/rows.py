"""The rows of a case: written once, read by hfmm through a dataset builder and by its peers as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Audio, DatasetDict, Image, load_from_disk

from hfmm.recipe.validation import StrictModel

DESCRIPTION = "Rows of a benchmark."


class RowsOptions(StrictModel):
    """Options of `data: {builder: tests.benchmarks.rows}`."""

    path: str


OPTIONS = RowsOptions


def build(options: RowsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Return the splits that `write` saved."""
    return load_from_disk(options.path)


def write(builder: str, prepared: Path, change_split: Any = None, **options: Any) -> DatasetDict:
    """Build a dataset with a builder of hfmm, apply ``change_split`` to each split, and save it for all sides."""
    from hfmm import data as builders
    from hfmm.recipe.schema import Data
    from hfmm.utils import imports
    from hfmm.utils.hardware import available_cpus

    imports.silence_libraries()
    dataset = builders.build(Data(builder=builder, **options), {}, prepared / "cache", available_cpus())
    if change_split is not None:
        dataset = DatasetDict({split: change_split(rows) for split, rows in dataset.items()})
    dataset.save_to_disk(str(prepared / "rows"))
    return dataset


def recipe_data(prepared: Path) -> dict[str, Any]:
    """Return the `data` section of a recipe that reads the saved rows."""
    return {"builder": "tests.benchmarks.rows", "path": str(prepared / "rows")}


def load_decoded(prepared: Path, split: str = "train") -> Any:
    """Return a split as a script of a peer loads it: images and audio are decoded when a row is read."""
    rows = load_from_disk(str(prepared / "rows"))[split]
    return rows.cast_column("image", Image()) if "image" in rows.column_names else rows.cast_column("audio", Audio())
