"""Load the user's own data: a folder of images or recordings, Parquet files, or a dataset of the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from datasets import Audio, ClassLabel, Dataset, DatasetDict, Image, List, Value, concatenate_datasets, load_dataset
from pydantic import Field

from hfmm.data.common import audio_folder, image_folder, parquet_folder
from hfmm.data.common.labels import label_feature
from hfmm.data.common.splits import add_missing_splits
from hfmm.errors import UserError
from hfmm.recipe.validation import StrictModel

DESCRIPTION = "The user's own rows, with the column names of hfmm."


class FolderOptions(StrictModel):
    """Options of `data: {builder: folder}`."""

    path: str = Field(
        description="a folder with one subfolder per class, a folder of recordings with a metadata.csv (columns "
        "file_name and transcript), a folder of Parquet files, one Parquet file, or a Hub dataset id"
    )
    revision: str | None = None
    columns: dict[str, str | Annotated[list[str], Field(min_length=1)]] = Field(
        {}, description="hfmm's column name -> yours: {image: photo, label: [species, color]}"
    )
    validation: float = Field(
        0.1, gt=0, lt=1, description="fraction of the training rows if the split is missing; groups are kept whole"
    )
    test: float = Field(0.2, gt=0, lt=1)
    seed: int = Field(0, ge=0)


OPTIONS = FolderOptions


def build(options: FolderOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Return the dataset with hfmm's column names.

    Classes are collected from the training rows before missing splits are taken from them. Raises UserError if the
    path, a column or the train split is missing, or if another split has a class that the training rows do not have.
    """
    data = load_splits(options, cache)
    if "train" not in data:
        raise UserError(f"data.path: {options.path} has no split called train; it has {', '.join(data)}.")
    data = add_missing_splits(
        data, {"test": options.test, "validation": options.validation}, options.seed, options.path
    )
    return DatasetDict({split: _add_id_and_group(rows, split) for split, rows in data.items()})


def load_splits(options: FolderOptions, cache: Path) -> DatasetDict:
    """Return the splits that the data has, with hfmm's column names; raises UserError like `build`."""
    sources = {target: [names] if isinstance(names, str) else names for target, names in options.columns.items()}
    data = _normalize_split_names(_load(options, cache), options.path)
    data = DatasetDict({split: _rename_columns(rows, split, sources) for split, rows in data.items()})
    data = DatasetDict({split: _wrap_captions_in_lists(rows) for split, rows in data.items()})
    label_columns = sources.get("label", [])
    return _encode_labels(data, label_columns if len(label_columns) > 1 else ["label"], options.path)


def load_rows(options: FolderOptions, cache: Path, split: str) -> Dataset:
    """Return the rows of one split with ids and groups. ``auto`` is the test split, or all rows if there is none."""
    data = load_splits(options, cache)
    split = split if split != "auto" else "test" if "test" in data else "all"
    if split == "all":
        return concatenate_datasets([_add_id_and_group(rows, name) for name, rows in data.items()])
    if split not in data:
        raise UserError(f"{options.path} has no {split} split; it has {', '.join(data)}.")
    return _add_id_and_group(data[split], split)


def _load(options: FolderOptions, cache: Path) -> DatasetDict:
    path = Path(options.path).expanduser()
    location = f"data.path: {options.path}"
    try:
        if path.is_file():
            if path.suffix != parquet_folder.ENDING:
                raise UserError(
                    f"{location} is a file but not Parquet. Use a folder, a .parquet file or a Hub dataset id."
                )
            return parquet_folder.load_parquet(path, [path], cache)
        if path.is_dir():
            files = sorted(_list_files(path.resolve()), key=str)
            extensions = {file.suffix.lower() for file in files}
            if extensions & audio_folder.EXTENSIONS:
                return audio_folder.load_audio_folder(path, cache)
            if parquet_folder.ENDING in extensions:
                return parquet_folder.load_parquet(path, files, cache)
            if not extensions & image_folder.EXTENSIONS:
                raise UserError(f"{location} contains no images, no recordings and no Parquet files.")
            return image_folder.load_image_folder(files, cache)
        if options.path.startswith((".", "/", "~")):
            raise UserError(f"{location} does not exist.")
        return load_dataset(options.path, revision=options.revision, cache_dir=str(cache))
    except UserError:
        raise
    except Exception as error:  # the loaders of `datasets` raise the exceptions of each file format
        message = str(error.__cause__ or error).strip()
        reason = message.splitlines()[0] if message else type(error).__name__
        raise UserError(
            f"{location} could not be loaded, neither as a local folder nor as a Hub dataset. On the Hub it may be "
            f"missing or private, or the Hub is unreachable. The error was: {reason}"
        ) from error


def _list_files(folder: Path, parents: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the files below a folder and follow links. Hidden files and folders such as `__MACOSX` are skipped."""
    parents |= {folder.resolve()}
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path
        # Following a link to a parent folder would never end.
        elif not path.name.startswith("__") and path.resolve() not in parents:
            yield from _list_files(path, parents)


def _normalize_split_names(data: DatasetDict, path: str) -> DatasetDict:
    """Return the train, validation and test splits under these names."""
    splits = {("validation" if name in ("valid", "val", "dev", "eval") else name): rows for name, rows in data.items()}
    known = DatasetDict({name: splits[name] for name in ("train", "validation", "test") if name in splits})
    if not known:
        raise UserError(f"data.path: {path} has no split called train, validation or test; it has {', '.join(data)}.")
    return known


def _rename_columns(rows: Dataset, split: str, sources: Mapping[str, Sequence[str]]) -> Dataset:
    """Rename the user's columns to hfmm's names. If the label has several source columns, `_encode_labels` joins them.

    A renamed column replaces an existing column of that name.
    """
    available = rows.column_names
    for target, names in sources.items():
        for name in names:
            if name not in available:
                raise UserError(
                    f"data.columns.{target}: the {split} split has no column {name!r}; it has {', '.join(available)}."
                )
        if len(names) > 1 and target != "label":
            raise UserError(f"data.columns.{target}: only the label can be made from several columns.")
    renames = {target: names[0] for target, names in sources.items() if len(names) == 1}
    label_parts = set() if "label" in renames else set(sources.get("label", ()))
    if conflicts := label_parts & set(renames):
        column = min(conflicts)
        raise UserError(
            f"data.columns.{column}: the label is made from the column {column!r}, so no other column can take this "
            "name. Rename the column in your data."
        )
    if not renames:
        return rows
    replaced = {*renames, *renames.values()}
    unchanged = [name for name in available if name in label_parts or name not in replaced]
    columns = [*((name, name) for name in unchanged), *((source, target) for target, source in renames.items())]
    columns.sort(key=lambda pair: available.index(pair[0]))
    parts = [rows.select_columns([source]).rename_columns({source: target}) for source, target in columns]
    return concatenate_datasets(parts, axis=1)


def _wrap_captions_in_lists(rows: Dataset) -> Dataset:
    """Turn a single caption per row into a list, because tasks expect a list of captions."""
    feature = rows.features.get("captions")
    if not isinstance(feature, Value) or "string" not in feature.dtype:
        return rows
    captions = [[] if caption is None else [caption] for caption in rows["captions"][:]]
    return rows.remove_columns("captions").add_column("captions", captions, feature=List(Value("string")))


def _encode_labels(data: DatasetDict, columns: Sequence[str], path: str) -> DatasetDict:
    """Give `label` a class feature. Several columns become the attributes of one multi-label feature.

    Data without labels are returned unchanged, because not every task needs them. An empty cell becomes None, which the
    task reports.
    """
    base_split, base_rows = next(iter(data.items()))  # train, unless the data is only evaluated
    if not {*columns} <= {*base_rows.column_names}:
        return data
    label_type = base_rows.features["label"] if len(columns) == 1 else None
    if isinstance(label_type, List) and isinstance(label_type.feature, ClassLabel):
        return data
    labeled = {split: rows for split, rows in data.items() if {*columns} <= {*rows.column_names}}
    labels = {split: {name: _label_strings(rows, name) for name in columns} for split, rows in labeled.items()}
    classes = {name: sorted({text for text in texts if text is not None}) for name, texts in labels[base_split].items()}
    _check_labels(labeled, labels, classes, path)
    if isinstance(label_type, ClassLabel):
        return data
    feature = label_feature(classes)
    pairs = [(name, text) for name in columns for text in classes[name]]
    indices: dict[tuple[str, str | None], int] = {pair: index for index, pair in enumerate(pairs)}
    splits = dict(data)
    for split, rows in labeled.items():
        encoded = [[indices.get((name, text)) for text in labels[split][name]] for name in columns]
        label = encoded[0] if len(columns) == 1 else [list(row) for row in zip(*encoded, strict=True)]
        rows = rows.remove_columns([name for name in ("label",) if name in rows.column_names])
        splits[split] = rows.add_column("label", label, feature=feature)
    return DatasetDict(splits)


def _label_strings(rows: Dataset, column: str) -> list[str | None]:
    """Return the class names of a column. A cell that is empty or holds the class index -1 becomes None."""
    feature = rows.features[column]
    if isinstance(feature, ClassLabel):
        names = dict(enumerate(feature.names))
        return [names.get(index) for index in rows[column][:]]
    if not isinstance(feature, Value):
        raise UserError(
            f"data.columns.label: the column {column!r} holds more than one value per row. Use a column with one value "
            "per row, or several such columns: [species, color]."
        )
    return [None if value is None else str(value) for value in rows[column][:]]


def _check_labels(
    data: Mapping[str, Dataset],
    labels: Mapping[str, Mapping[str, Sequence[str | None]]],
    classes: Mapping[str, Sequence[str]],
    path: str,
) -> None:
    for split, columns in labels.items():
        for name, texts in columns.items():
            allowed = {None, *classes[name]}
            for index, text in enumerate(texts):
                if text not in allowed:
                    raise UserError(
                        f"data.path: {path}, split {split}, row {_row_name(data[split], index)}: the {name} {text!r} "
                        f"does not occur in the training split, which has {', '.join(classes[name][:12])}."
                    )


def _row_name(rows: Dataset, index: int) -> str:
    """Return a name by which the user can find a row: its id, its file or its index."""
    row = rows.select([index])
    return str(row["id"][:][0] if "id" in row.column_names else _media_paths(row)[0] or index)


def _add_id_and_group(rows: Dataset, split: str) -> Dataset:
    """Add the columns that every dataset has: `id` (the file name or the row index) and `group` (the id)."""
    if "id" not in rows.column_names:
        ids = [Path(path).name if path else f"{split}-{index:06d}" for index, path in enumerate(_media_paths(rows))]
        ids = ids if len(set(ids)) == len(ids) else [f"{split}-{index:06d} ({id_})" for index, id_ in enumerate(ids)]
        rows = rows.add_column("id", ids)
    if "group" not in rows.column_names:
        rows = rows.add_column("group", [str(id_) for id_ in rows["id"][:]])
    return rows.cast_column("id", Value("string"))


def _media_paths(rows: Dataset) -> list[str | None]:
    """Return the path of each row's image or audio file, or None if the row has no path."""
    column = next((name for name, kind in rows.features.items() if isinstance(kind, Image | Audio)), None)
    if column is None:
        return [None] * len(rows)
    values = rows.cast_column(column, type(rows.features[column])(decode=False))[column][:]
    return [value["path"] if value else None for value in values]
