"""Parquet files, one or a folder of them, as they were written: with classes that mean the same in each."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from datasets import ClassLabel, DatasetDict, Features, List, load_dataset

from hfmm.errors import UserError

ENDING = ".parquet"


def load_parquet(path: Path, files: Sequence[Path], cache: Path) -> DatasetDict:
    """Return the splits of one Parquet file, or of the folder in which ``files`` lie.

    Raises UserError where the files number their classes differently, and for a folder whose name is a pattern.
    """
    where = f"data.path: {path}"
    _check_class_labels_agree([file for file in files if file.suffix == ENDING], where)
    if path.is_file():
        return load_dataset("parquet", data_files=glob.escape(str(path)), cache_dir=str(cache))
    if glob.has_magic(str(path.resolve())):
        raise UserError(f"{where}: to the reader of Parquet [, * and ? are a pattern. Rename the folder.")
    return load_dataset(str(path), cache_dir=str(cache))


def _check_class_labels_agree(files: Sequence[Path], where: str) -> None:
    """Refuse classes that differ between files: `datasets` reads all by the names that the first one has."""
    first: dict[str, tuple[list[str], Path]] = {}
    for file in files:
        for column, feature in Features.from_arrow_schema(pq.read_schema(file)).items():
            kind = feature.feature if isinstance(feature, List) else feature
            if not isinstance(kind, ClassLabel):
                continue
            names, of = first.setdefault(column, (kind.names, file))
            if names != kind.names:
                raise UserError(
                    f"{where}: in the column {column!r} one number means two classes: {of.name} counts "
                    f"{', '.join(names[:12])}, and {file.name} {', '.join(kind.names[:12])}. Write both with one "
                    "ClassLabel, or the classes as text."
                )
