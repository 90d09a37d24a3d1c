"""A built dataset as a Hub repository: Parquet files with embedded media, a dataset card and a contact sheet."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Audio, Dataset, DatasetDict, load_dataset

from hfmm import registry
from hfmm.card.contact_sheet import contact_sheet
from hfmm.card.dataset_card import dataset_card
from hfmm.data import disable_media_decoding, fingerprint
from hfmm.data.common.media import media_feature, read_media, replace_media_feature
from hfmm.errors import UserError
from hfmm.recipe.overrides import apply_override
from hfmm.recipe.validation import validate
from hfmm.utils.files import atomic_directory

BATCH = 100  # rows whose media bytes are held in memory at a time


def build_and_save(
    builder: str, overrides: Sequence[str], directory: Path, num_proc: int, repo: str | None = None
) -> None:
    """Build a dataset by name with ``key=value`` options and export it; raises UserError for an invalid option.

    If ``repo`` is passed, an export that the same command wrote into the folder before is reused. An export of user
    data is reused only if the rows are unchanged.
    """
    module = registry.get("data", builder)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for override in overrides:
        apply_override(values, origins, override)
    options = validate(module.OPTIONS, values, origins)
    public_overrides = [f"--set {_redact_paths(override)}" for override in overrides]
    command = " ".join(["hfmm data", builder, *public_overrides, f"--out {directory.name}"])
    card, name = directory / "README.md", repo or directory.name
    is_user_data = builder == "folder" or "." in builder
    overwrite = bool(repo) and card.is_file() and _was_exported_by(card.read_text(encoding="utf-8"), name, command)
    if overwrite and not is_user_data:
        return
    with tempfile.TemporaryDirectory() as cache:
        data = disable_media_decoding(module.build(options, Path(cache), num_proc))
        if overwrite and fingerprint(data) == fingerprint(
            disable_media_decoding(load_dataset(str(directory), cache_dir=cache))
        ):
            return
        save_dataset(
            data,
            directory,
            name=name,
            command=command,
            description=module.DESCRIPTION,
            is_user_data=is_user_data,
            overwrite=overwrite,
        )


def save_dataset(
    data: DatasetDict,
    directory: Path,
    *,
    name: str,
    command: str,
    description: str,
    is_user_data: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a dataset so that ``load_dataset(directory)`` reads it on any machine.

    Raises UserError naming the row of a file that cannot be read. Raises UserError if the folder is not empty, unless
    ``overwrite`` is set.
    """
    if not overwrite and directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty. Pass another --out, or delete it.")
    with atomic_directory(directory) as temporary, tempfile.TemporaryDirectory() as cache:
        data = disable_media_decoding(
            DatasetDict({split: _embed_media(rows, split, Path(cache)) for split, rows in data.items()})
        )
        for split, rows in data.items():
            path = temporary / "data" / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(exist_ok=True)
            _enable_media_decoding(rows).to_parquet(str(path))
        contact_sheet(data).save(temporary / "contact_sheet.png")
        dataset_card(data, name, command, description, is_user_data).save(temporary / "README.md")


def _was_exported_by(card: str, name: str, command: str) -> bool:
    return f"# {name}\n" in card and f"`{command}` with hfmm" in card


def _redact_paths(override: str) -> str:
    """Return an option as the card shows it: an absolute path is cut to its last part, because the rest is private."""
    key, _, value = override.partition("=")
    return f"{key}={Path(value).name}" if Path(value).is_absolute() else override


def _embed_media(rows: Dataset, split: str, cache: Path) -> Dataset:
    """Return the rows with the bytes of their images and audio embedded."""
    media = {name: media_feature(feature) for name, feature in rows.features.items() if media_feature(feature)}

    def embed(table: pa.Table, indices: list[int]) -> pa.Table:
        for name, feature in media.items():
            kind = "clip" if isinstance(feature, Audio) else "image"
            indexed_values = zip(indices, table[name].to_pylist(), strict=True)
            values = [_embed_value(value, kind, f"{split}, row {index}") for index, value in indexed_values]
            field = table.schema.field(name)
            table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
        return table

    if not media:
        return rows
    embedded = rows.with_format("arrow").map(
        embed, with_indices=True, batched=True, batch_size=BATCH, cache_file_name=str(cache / f"{split}.arrow")
    )
    return embedded.with_format(None)


def _embed_value(value: Any, kind: str, row: str) -> Any:
    """Return a media value, or each value of a list, with its bytes and only the file name of its path."""
    if isinstance(value, list):
        return [_embed_value(element, kind, row) for element in value]
    try:
        _, data = read_media(value, kind)
    except UserError as error:
        raise UserError(f"{row}: {error}") from None
    return {"bytes": data, "path": Path(value["path"]).name if value["path"] else None}


def _enable_media_decoding(rows: Dataset) -> Dataset:
    """Return the rows with decoding enabled for images and audio, so that the Hub viewer shows and plays them."""
    for name, feature in rows.features.items():
        if media := media_feature(feature):
            rows = rows.cast_column(name, replace_media_feature(feature, replace(media, decode=True)))
    return rows
