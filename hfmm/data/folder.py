"""The user's own data in a builder's place: a folder of images or recordings, Parquet files, or a Hub dataset id."""

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

DESCRIPTION = "Rows of the user's own, with columns named as hfmm names them."


class FolderOptions(StrictModel):
    """What `data: {builder: folder}` takes."""

    path: str = Field(
        description="a folder of class folders, of recordings and a metadata.csv with file_name and transcript, or of "
        "Parquet files; one Parquet file; or a Hub dataset id"
    )
    revision: str | None = None
    columns: dict[str, str | Annotated[list[str], Field(min_length=1)]] = Field(
        {}, description="ours -> theirs: {image: photo, label: [species, colour]}"
    )
    validation: float = Field(
        0.1, gt=0, lt=1, description="share of the training rows, where no such split exists; no group is divided"
    )
    test: float = Field(0.2, gt=0, lt=1)
    seed: int = Field(0, ge=0)


OPTIONS = FolderOptions


def build(options: FolderOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Return the data with our columns; classes are taken from the training rows, before splits are drawn from them.

    Raises UserError when the path, a column or a split is missing, or a class of another split is not
    among the training classes.
    """
    sources = {ours: [theirs] if isinstance(theirs, str) else theirs for ours, theirs in options.columns.items()}
    data = _normalize_split_names(_load(options, cache), options.path)
    data = DatasetDict({split: _rename_columns(rows, split, sources) for split, rows in data.items()})
    data = DatasetDict({split: _wrap_captions_in_lists(rows) for split, rows in data.items()})
    names = sources.get("label", [])
    data = _encode_labels(data, names if len(names) > 1 else ["label"], options.path)
    data = add_missing_splits(
        data, {"test": options.test, "validation": options.validation}, options.seed, options.path
    )
    return DatasetDict({split: _add_id_and_group(rows, split) for split, rows in data.items()})


def _load(options: FolderOptions, cache: Path) -> DatasetDict:
    path = Path(options.path).expanduser()
    where = f"data.path: {options.path}"
    try:
        if path.is_file():
            if path.suffix != parquet_folder.ENDING:
                raise UserError(
                    f"{where} is a file but not Parquet. Give a folder, a .parquet file or a Hub dataset id."
                )
            return parquet_folder.load_parquet(path, [path], cache)
        if path.is_dir():
            files = sorted(_files(path.resolve()), key=str)
            endings = {file.suffix.lower() for file in files}
            if endings & audio_folder.EXTENSIONS:
                return audio_folder.load_audio_folder(path, cache)
            if parquet_folder.ENDING in endings:
                return parquet_folder.load_parquet(path, files, cache)
            if not endings & image_folder.EXTENSIONS:
                raise UserError(f"{where} holds no images, no recordings and no Parquet files.")
            return image_folder.load_image_folder(files, cache)
        if options.path.startswith((".", "/", "~")):
            raise UserError(f"{where} does not exist.")
        return load_dataset(options.path, revision=options.revision, cache_dir=str(cache))
    except UserError:
        raise
    except Exception as error:  # the loaders of `datasets` raise whatever their file formats raise
        said = str(error.__cause__ or error).strip()
        reason = said.splitlines()[0] if said else type(error).__name__
        raise UserError(
            f"{where} cannot be read, neither as a folder here nor as a dataset of the Hub "
            f"(missing, private or offline: the Hub does not say which). The reader said: {reason}"
        ) from error


def _files(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the files below a folder, links followed, without hidden ones and what is in a `__MACOSX` or the like."""
    above |= {folder.resolve()}
    for one in folder.iterdir():
        if one.name.startswith("."):
            continue
        if not one.is_dir():
            yield one
        # A link to a folder above would never end.
        elif not one.name.startswith("__") and one.resolve() not in above:
            yield from _files(one, above)


def _normalize_split_names(data: DatasetDict, path: str) -> DatasetDict:
    """Return the splits that a run reads, under our names."""
    named = {("validation" if name in ("valid", "val", "dev", "eval") else name): rows for name, rows in data.items()}
    if "train" not in named:
        raise UserError(f"data.path: {path} has no split called train; it has {', '.join(data)}.")
    return DatasetDict({name: named[name] for name in ("train", "validation", "test") if name in named})


def _rename_columns(rows: Dataset, split: str, sources: Mapping[str, Sequence[str]]) -> Dataset:
    """Put each of our columns in the place of the one it comes from; several label columns are left for `_label`."""
    theirs = rows.column_names
    for ours, several in sources.items():
        for one in several:
            if one not in theirs:
                raise UserError(
                    f"data.columns.{ours}: the {split} split has no column {one!r}; it has {', '.join(theirs)}."
                )
        if len(several) > 1 and ours != "label":
            raise UserError(f"data.columns.{ours}: only the label may come from several columns.")
    singles = {ours: several[0] for ours, several in sources.items() if len(several) == 1}
    parts = set() if "label" in singles else set(sources.get("label", ()))
    if shadows := parts & set(singles):
        raise UserError(
            f"data.columns.{min(shadows)}: the label is made of the column {min(shadows)!r}, so no other can be put in "
            "its place. Rename it in the data."
        )
    if not singles:
        return rows
    kept = [name for name in theirs if name in parts or name not in {*singles, *singles.values()}]
    columns = [*((name, name) for name in kept), *((source, ours) for ours, source in singles.items())]
    columns.sort(key=lambda pair: theirs.index(pair[0]))
    named = [rows.select_columns([source]).rename_columns({source: ours}) for source, ours in columns]
    return concatenate_datasets(named, axis=1)


def _wrap_captions_in_lists(rows: Dataset) -> Dataset:
    """Make lists of captions that come one a row, as tasks read several."""
    kind = rows.features.get("captions")
    if not isinstance(kind, Value) or "string" not in kind.dtype:
        return rows
    captions = [[] if one is None else [one] for one in rows["captions"][:]]
    return rows.remove_columns("captions").add_column("captions", captions, feature=List(Value("string")))


def _encode_labels(data: DatasetDict, names: Sequence[str], path: str) -> DatasetDict:
    """Give `label` a class feature; several columns become the attributes of one multi-label feature.

    Data without labels stay so: whether a task can do without, its columns say. An empty cell is left for it to name.
    """
    train = data["train"]
    if not {*names} <= {*train.column_names}:
        return data
    finished = train.features["label"] if len(names) == 1 else None
    if isinstance(finished, List) and isinstance(finished.feature, ClassLabel):
        return data
    labelled = {split: rows for split, rows in data.items() if {*names} <= {*rows.column_names}}
    texts = {split: {name: _label_strings(rows, name) for name in names} for split, rows in labelled.items()}
    values = {name: sorted({one for one in column if one is not None}) for name, column in texts["train"].items()}
    _check_labels(labelled, texts, values, path)
    if isinstance(finished, ClassLabel):
        return data
    feature = label_feature(values)
    pairs = [(name, value) for name in names for value in values[name]]
    places: dict[tuple[str, str | None], int] = {pair: index for index, pair in enumerate(pairs)}
    done = dict(data)
    for split, rows in labelled.items():
        columns = [[places.get((name, text)) for text in texts[split][name]] for name in names]
        label = columns[0] if len(names) == 1 else [list(row) for row in zip(*columns, strict=True)]
        rows = rows.remove_columns([column for column in ("label",) if column in rows.column_names])
        done[split] = rows.add_column("label", label, feature=feature)
    return DatasetDict(done)


def _label_strings(rows: Dataset, name: str) -> list[str | None]:
    """Return the values of a column as the names of classes; None for a cell that is empty or says so with -1."""
    feature = rows.features[name]
    if isinstance(feature, ClassLabel):
        names = dict(enumerate(feature.names))
        return [names.get(one) for one in rows[name][:]]
    if not isinstance(feature, Value):
        raise UserError(
            f"data.columns.label: the column {name!r} holds more than one value a row. A label is one value, or one of "
            "each of several columns: [species, colour]."
        )
    return [None if one is None else str(one) for one in rows[name][:]]


def _check_labels(
    data: Mapping[str, Dataset],
    texts: Mapping[str, Mapping[str, Sequence[str | None]]],
    values: Mapping[str, Sequence[str]],
    path: str,
) -> None:
    for split, columns in texts.items():
        for name, column in columns.items():
            known = {None, *values[name]}
            for row, value in enumerate(column):
                if value not in known:
                    raise UserError(
                        f"data.path: {path}, split {split}, row {_row_name(data[split], row)}: the {name} {value!r} "
                        f"does not occur in the training split, which has {', '.join(values[name][:12])}."
                    )


def _row_name(rows: Dataset, row: int) -> str:
    """Return what the user knows a row by: its id, its file or its number."""
    one = rows.select([row])
    return str(one["id"][:][0] if "id" in one.column_names else _paths(one)[0] or row)


def _add_id_and_group(rows: Dataset, split: str) -> Dataset:
    """Add the columns every dataset has: `id` from the file name or the row number, `group` from the id."""
    if "id" not in rows.column_names:
        ids = [Path(path).name if path else f"{split}-{row:06d}" for row, path in enumerate(_paths(rows))]
        ids = ids if len(set(ids)) == len(ids) else [f"{split}-{row:06d} ({one})" for row, one in enumerate(ids)]
        rows = rows.add_column("id", ids)
    if "group" not in rows.column_names:
        rows = rows.add_column("group", [str(one) for one in rows["id"][:]])
    return rows.cast_column("id", Value("string"))


def _paths(rows: Dataset) -> list[str | None]:
    """Return the file that the picture or sound of each row came from, where the row says so."""
    media = next((name for name, kind in rows.features.items() if isinstance(kind, Image | Audio)), None)
    if media is None:
        return [None] * len(rows)
    stored = rows.cast_column(media, type(rows.features[media])(decode=False))[media][:]
    return [value["path"] if value else None for value in stored]
