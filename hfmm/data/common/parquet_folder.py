"""Load one Parquet file or a folder of them. The class labels of all files must agree."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from datasets import ClassLabel, DatasetDict, Features, List, load_dataset

from hfmm.errors import UserError

ENDING = ".parquet"


def load_parquet(path: Path, files: Sequence[Path], cache: Path) -> DatasetDict:
    """Return the splits of one Parquet file, or of the folder that contains ``files``.

    Raises UserError if the class labels of the files differ, or if the name of the folder is a glob pattern.
    """
    source = f"data.path: {path}"
    _check_class_labels_agree([file for file in files if file.suffix == ENDING], source)
    if path.is_file():
        return load_dataset("parquet", data_files=glob.escape(str(path)), cache_dir=str(cache))
    if glob.has_magic(str(path.resolve())):
        raise UserError(
            f"{source}: the Parquet loader reads the characters [, * and ? as a pattern. Rename the folder."
        )
    return load_dataset(str(path), cache_dir=str(cache))


def _check_class_labels_agree(files: Sequence[Path], source: str) -> None:
    """Raise UserError if class labels differ: `datasets` reads all files with the class names of the first file."""
    first: dict[str, tuple[list[str], Path]] = {}
    for file in files:
        for column, feature in Features.from_arrow_schema(pq.read_schema(file)).items():
            element = feature.feature if isinstance(feature, List) else feature
            if not isinstance(element, ClassLabel):
                continue
            names, first_file = first.setdefault(column, (element.names, file))
            if names != element.names:
                raise UserError(
                    f"{source}: the class names of the column {column!r} differ: {first_file.name} has "
                    f"{', '.join(names[:12])}, but {file.name} has {', '.join(element.names[:12])}. Write both files "
                    "with the same ClassLabel, or store the classes as text."
                )
