"""The rows that all sides of a case read: written once, a builder for hfmm's recipes, a dataset for its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Audio, DatasetDict, Image, load_from_disk

from hfmm.recipe.validation import StrictModel

DESCRIPTION = "Rows of a benchmark."


class Options(StrictModel):
    """What `data: {builder: tests.benchmarks.rows}` takes."""

    path: str


def build(options: Options, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Return the splits that `write` wrote."""
    return load_from_disk(options.path)


def write(builder: str, prepared: Path, change: Any = None, **options: Any) -> DatasetDict:
    """Build rows with one of hfmm's builders, let ``change`` alter each split, and write them for all sides."""
    from hfmm import data as builders
    from hfmm.recipe.schema import Data
    from hfmm.utils import imports
    from hfmm.utils.hardware import available_cpus

    imports.silence_libraries()
    built = builders.build(Data(builder=builder, **options), {}, prepared / "cache", available_cpus())
    if change is not None:
        built = DatasetDict({split: change(rows) for split, rows in built.items()})
    built.save_to_disk(str(prepared / "rows"))
    return built


def recipe_data(prepared: Path) -> dict[str, Any]:
    """Return the `data` of a recipe that reads what `write` wrote."""
    return {"builder": "tests.benchmarks.rows", "path": str(prepared / "rows")}


def decoded(prepared: Path, split: str = "train") -> Any:
    """Return a split as a peer's script has it: its pictures decode when a row is read."""
    rows = load_from_disk(str(prepared / "rows"))[split]
    return rows.cast_column("image", Image()) if "image" in rows.column_names else rows.cast_column("audio", Audio())
