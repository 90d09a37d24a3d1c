"""Load a folder of audio files with a metadata file that contains the transcripts.

The layout is that of the audiofolder loader of `datasets`, which needs torchcodec to write rows.
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
    """Return the rows of ``folder/metadata.csv`` as the train split, or one split per subfolder with a metadata file.

    ``file_name`` becomes ``audio``, a path that is opened when the row is decoded. Raises UserError if there is no
    metadata file, or if one cannot be read or has no ``file_name`` column.
    """
    metadata = _find_metadata_file(folder)
    metadata_files = (
        {"train": metadata}
        if metadata
        else {path.name: _find_metadata_file(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    )
    splits = {split: _rows(path, cache) for split, path in metadata_files.items() if path}
    if not splits:
        raise UserError(
            f"data.path: {folder} contains audio files but no metadata file. Write {folder}/metadata.csv with the "
            "columns file_name and transcript, one line per audio file, and map data.columns: {text: transcript}."
        )
    return DatasetDict(splits)


def _find_metadata_file(folder: Path) -> Path | None:
    return next((folder / name for name in METADATA_FILES if (folder / name).is_file()), None)


def _rows(metadata: Path, cache: Path) -> Dataset:
    if metadata.suffix == ".csv":
        rows = _read_csv(metadata)
    else:
        rows = load_dataset("parquet", data_files=glob.escape(str(metadata)), split="train", cache_dir=str(cache))
    if "file_name" not in rows.column_names:
        raise UserError(
            f"{metadata} has no column 'file_name'; it has {', '.join(rows.column_names) or 'none'}. "
            "Each row needs the path of its audio file, relative to the metadata file."
        )
    values = [{"bytes": None, "path": str(metadata.parent / str(name))} for name in rows["file_name"][:]]
    rows = rows.remove_columns("file_name").add_column("audio", values, feature=AUDIO_STRUCT)
    return rows.cast_column("audio", Audio(decode=False))


def _read_csv(path: Path) -> Dataset:
    """Return all cells as text: a reader that infers types turns "007" into 7 and "None" into a missing value."""
    last_line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            columns: dict[str, list[str]] = {name: [] for name in reader.fieldnames or ()}
            last_line = reader.line_num
            for row in reader:
                if None in row:
                    raise UserError(
                        f"{path}, line {reader.line_num}, has more cells than the first line has columns. Put quotes "
                        'around a cell that contains a comma: "He works, she said."'
                    )
                for name, cells in columns.items():
                    cells.append(row[name])
                last_line = reader.line_num
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 from line {last_line + 1} on. Save it as UTF-8.") from None
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as CSV from line {last_line + 1} on: {error}.") from None
    return Dataset.from_dict(columns, features=Features({name: Value("string") for name in columns}))
