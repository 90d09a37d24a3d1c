"""A folder of recordings with a table of what is said in them.

The layout is that of `datasets`' audiofolder, whose own loader writes no row without torchcodec.
"""

from __future__ import annotations

import csv
import glob
from pathlib import Path

from datasets import Audio, Dataset, DatasetDict, Features, Value, load_dataset

from hfmm.data.common.audio import AUDIO_STRUCT
from hfmm.errors import UserError

EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"}
METADATA_FILES = ("metadata.csv", "metadata.parquet")


def load_audio_folder(folder: Path, cache: Path) -> DatasetDict:
    """Return the rows of ``folder/metadata.csv`` as split train, or those of each subfolder that has one.

    ``file_name`` becomes ``audio``, a path that is opened only when the row is. Raises UserError where no table
    is, or a table cannot be read or names no files.
    """
    here = _find_metadata_file(folder)
    tables = (
        {"train": here}
        if here
        else {one.name: _find_metadata_file(one) for one in sorted(folder.iterdir()) if one.is_dir()}
    )
    found = {split: _rows(table, cache) for split, table in tables.items() if table}
    if not found:
        raise UserError(
            f"data.path: {folder} holds recordings and no table of what is said in them. Write {folder}/metadata.csv "
            "with the columns file_name and transcript, a line a recording, and map data.columns: {text: transcript}."
        )
    return DatasetDict(found)


def _find_metadata_file(folder: Path) -> Path | None:
    return next((folder / name for name in METADATA_FILES if (folder / name).is_file()), None)


def _rows(table: Path, cache: Path) -> Dataset:
    if table.suffix == ".csv":
        rows = _read_csv(table)
    else:
        rows = load_dataset("parquet", data_files=glob.escape(str(table)), split="train", cache_dir=str(cache))
    if "file_name" not in rows.column_names:
        raise UserError(
            f"{table} has no column 'file_name'; it has {', '.join(rows.column_names) or 'none'}. "
            "Each line needs the path of its recording, seen from the table."
        )
    values = [{"bytes": None, "path": str(table.parent / str(name))} for name in rows["file_name"][:]]
    rows = rows.remove_columns("file_name").add_column("audio", values, feature=AUDIO_STRUCT)
    return rows.cast_column("audio", Audio(decode=False))


def _read_csv(table: Path) -> Dataset:
    """Return the cells as they are written: a reader that guesses makes 7 of "007" and nothing of "None"."""
    read = 0
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file, restval="", strict=True)
            columns: dict[str, list[str]] = {name: [] for name in lines.fieldnames or ()}
            read = lines.line_num
            for line in lines:
                if None in line:
                    raise UserError(
                        f"{table}, line {lines.line_num}, has more cells than the first line has columns. A cell with "
                        'a comma in it needs quotes around it: "He works, she said."'
                    )
                for name, cells in columns.items():
                    cells.append(line[name])
                read = lines.line_num
    except UnicodeDecodeError:
        raise UserError(f"{table} is not UTF-8 from line {read + 1} on. Save it as UTF-8.") from None
    except csv.Error as error:
        raise UserError(f"{table} cannot be read as CSV from line {read + 1} on: {error}.") from None
    return Dataset.from_dict(columns, features=Features({name: Value("string") for name in columns}))
