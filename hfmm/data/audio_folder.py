"""A folder of recordings with a table of what is said in them.

The layout is that of `datasets`' audiofolder, whose own loader writes no row without torchcodec.
"""

from __future__ import annotations

from pathlib import Path

from datasets import Audio, Dataset, DatasetDict, load_dataset

from hfmm.data.audio import STORED
from hfmm.errors import UserError

ENDINGS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"}
TABLES = {"metadata.csv": "csv", "metadata.parquet": "parquet"}


def load_recordings(folder: Path, cache: Path) -> DatasetDict:
    """Return the rows of ``folder/metadata.csv`` as split train, or those of each subfolder that has one.

    ``file_name`` becomes ``audio``, a path that is opened only when the row is. Raises UserError where no table
    is or a table names no files.
    """
    here = _table(folder)
    tables = {"train": here} if here else {one.name: _table(one) for one in sorted(folder.iterdir()) if one.is_dir()}
    found = {split: _rows(table, cache) for split, table in tables.items() if table}
    if not found:
        raise UserError(
            f"data.path: {folder} holds recordings and no table of what is said in them. Write {folder}/metadata.csv "
            "with the columns file_name and transcript, a line a recording, and map data.columns: {text: transcript}."
        )
    return DatasetDict(found)


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def _rows(table: Path, cache: Path) -> Dataset:
    kind = TABLES[table.name]
    # Else a transcript such as "None" or "null" were read as nothing.
    how = {"keep_default_na": False} if kind == "csv" else {}
    rows = load_dataset(kind, data_files=str(table), cache_dir=str(cache), split="train", **how)
    if "file_name" not in rows.column_names:
        raise UserError(
            f"{table} has no column 'file_name'; it has {', '.join(rows.column_names)}. "
            "Each line needs the path of its recording, seen from the table."
        )
    values = [{"bytes": None, "path": str(table.parent / str(name))} for name in rows["file_name"][:]]
    rows = rows.remove_columns("file_name").add_column("audio", values, feature=STORED)
    return rows.cast_column("audio", Audio(decode=False))
