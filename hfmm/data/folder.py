"""The user's own data in a builder's place: a folder of images or recordings, Parquet files, or a Hub dataset id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Audio, ClassLabel, Dataset, DatasetDict, Image, List, Value, load_dataset
from pydantic import Field

from hfmm.data import audio_folder
from hfmm.data.labels import attribute_label, label_feature
from hfmm.errors import UserError
from hfmm.strict import Strict

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}

DESCRIPTION = "Rows of the user's own, with columns named as hfmm names them."


class Options(Strict):
    """What `data: {builder: folder}` takes."""

    path: str = Field(
        description="a folder of class folders, of recordings and a metadata.csv with file_name and transcript, or of "
        "Parquet files; one Parquet file; or a Hub dataset id"
    )
    revision: str | None = None
    columns: dict[str, str | list[str]] = Field(
        {}, description="ours -> theirs: {image: photo, label: [species, colour]}"
    )
    validation: float = Field(0.1, gt=0, lt=1, description="share of the training rows, where no such split exists")
    test: float = Field(0.2, gt=0, lt=1)
    seed: int = Field(0, ge=0)


def build(options: Options, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Return the data with our columns; label values are taken from the training split.

    Raises UserError when the path, a column or a split is missing, or a label of another split is
    not among the training labels.
    """
    data = _load(options, cache)
    data = _name_columns(data, options.columns)
    data = _split(data, options)
    data = _label(data, options)
    return DatasetDict({split: _identify(rows, split) for split, rows in data.items()})


def _load(options: Options, cache: Path) -> DatasetDict:
    path = Path(options.path).expanduser()
    where = f"data.path: {options.path}"
    try:
        if path.is_file():
            if path.suffix != ".parquet":
                raise UserError(
                    f"{where} is a file but not Parquet. Give a folder, a .parquet file or a Hub dataset id."
                )
            return load_dataset("parquet", data_files=str(path), cache_dir=str(cache))
        if path.is_dir():
            endings = {file.suffix.lower() for file in path.rglob("*")}
            if endings & audio_folder.ENDINGS:
                return audio_folder.load_recordings(path, cache)
            if ".parquet" in endings:
                return load_dataset(str(path), cache_dir=str(cache))
            if not endings & IMAGES:
                raise UserError(f"{where} holds no images, no recordings and no Parquet files.")
            return load_dataset("imagefolder", data_dir=str(path), cache_dir=str(cache))
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


def _name_columns(data: DatasetDict, columns: Mapping[str, str | list[str]]) -> DatasetDict:
    """Rename single columns; a list of label columns is left for `_label`."""
    theirs = next(iter(data.values())).column_names
    for ours, source in columns.items():
        for one in [source] if isinstance(source, str) else source:
            if one not in theirs:
                raise UserError(f"data.columns.{ours}: the data has no column {one!r}; it has {', '.join(theirs)}.")
        if isinstance(source, list) and ours != "label":
            raise UserError(f"data.columns.{ours}: only the label may come from several columns.")
    renames = {source: ours for ours, source in columns.items() if isinstance(source, str) and source != ours}
    for ours in renames.values():
        if ours in theirs:
            data = data.remove_columns(ours)
    return data.rename_columns(renames)


def _split(data: DatasetDict, options: Options) -> DatasetDict:
    """Return train, validation and test; what is missing is taken from the training rows."""
    renamed = {("validation" if name in ("valid", "val", "dev", "eval") else name): rows for name, rows in data.items()}
    if "train" not in renamed:
        raise UserError(f"data.path: {options.path} has no split called train; it has {', '.join(data)}.")
    train = renamed["train"]
    for name in ("test", "validation"):
        if name not in renamed:
            count = max(1, round(len(train) * (options.test if name == "test" else options.validation)))
            if count >= len(train):
                raise UserError(
                    f"data.path: {options.path} has {len(train)} training rows, too few to take a {name} split from."
                )
            parts = train.train_test_split(test_size=count, seed=options.seed)
            train, renamed[name] = parts["train"], parts["test"]
    return DatasetDict({"train": train, "validation": renamed["validation"], "test": renamed["test"]})


def _label(data: DatasetDict, options: Options) -> DatasetDict:
    """Give `label` a class feature; several columns become the attributes of one multi-label feature.

    Data without labels stay so: whether a task can do without, its columns say.
    """
    source = options.columns.get("label", "label")
    names = source if isinstance(source, list) else ["label"]
    have = data["train"].column_names
    if "label" not in have and not isinstance(source, list):
        return data
    if len(names) == 1:
        return _one_class(data, names[0], options.path)
    values = {name: _values(data["train"], name) for name in names}
    feature = label_feature(values)
    texts = {split: {name: _as_text(rows, name) for name in names} for split, rows in data.items()}
    _check_known(texts, values, options.path)
    place = {name: index for index, name in enumerate(feature.feature.names)}
    labelled = {}
    for split, rows in data.items():
        indices = [
            [place[attribute_label(name, texts[split][name][row])] for name in names] for row in range(len(rows))
        ]
        rows = rows.remove_columns([column for column in ("label",) if column in rows.column_names])
        labelled[split] = rows.add_column("label", indices, feature=feature)
    return DatasetDict(labelled)


def _one_class(data: DatasetDict, name: str, path: str) -> DatasetDict:
    feature = data["train"].features[name]
    if isinstance(feature, ClassLabel) or (isinstance(feature, List) and isinstance(feature.feature, ClassLabel)):
        return data
    values = {name: _values(data["train"], name)}
    _check_known({split: {name: _as_text(rows, name)} for split, rows in data.items()}, values, path)
    data = DatasetDict({split: rows.cast_column(name, Value("string")) for split, rows in data.items()})
    return data.cast_column(name, ClassLabel(names=values[name]))


def _values(rows: Dataset, name: str) -> list[str]:
    return sorted(set(_as_text(rows, name)))


def _as_text(rows: Dataset, name: str) -> list[str]:
    feature = rows.features[name]
    values: list[Any] = rows[name][:]
    return [feature.int2str(one) if isinstance(feature, ClassLabel) else str(one) for one in values]


def _check_known(texts: Mapping[str, Mapping[str, list[str]]], values: Mapping[str, list[str]], path: str) -> None:
    for split, columns in texts.items():
        for name, column in columns.items():
            for row, value in enumerate(column):
                if value not in values[name]:
                    raise UserError(
                        f"data.path: {path}, split {split}, row {row}: the {name} {value!r} does not occur in the "
                        f"training split, which has {', '.join(values[name][:12])}."
                    )


def _identify(rows: Dataset, split: str) -> Dataset:
    """Add the columns every dataset has: `id` from the file name or the row number, `group` from the id."""
    if "id" not in rows.column_names:
        ids = [f"{split}-{row:06d}" for row in range(len(rows))]
        media = next((name for name, kind in rows.features.items() if isinstance(kind, Image | Audio)), None)
        if media is not None:
            stored = rows.cast_column(media, type(rows.features[media])(decode=False))[media][:]
            ids = [
                Path(value["path"]).name if value and value.get("path") else one
                for value, one in zip(stored, ids, strict=True)
            ]
            ids = ids if len(set(ids)) == len(ids) else [f"{split}-{row:06d} ({one})" for row, one in enumerate(ids)]
        rows = rows.add_column("id", ids)
    if "group" not in rows.column_names:
        rows = rows.add_column("group", [str(one) for one in rows["id"][:]])
    return rows.cast_column("id", Value("string"))
