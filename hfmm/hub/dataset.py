"""A built dataset as a Hub repository: Parquet files that show or play, a dataset card and a contact sheet."""

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

BATCH = 100  # rows whose files are held in memory at a time


def build_and_save(
    builder: str, overrides: Sequence[str], directory: Path, num_proc: int, repo: str | None = None
) -> None:
    """Build a dataset by name with ``key=value`` options and export it; raises UserError for a wrong option.

    With the ``repo`` that it is for, what the same command left in the folder before is not made again. Of the user's
    own data it is, once the rows are others than they were.
    """
    module = registry.get("data", builder)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for override in overrides:
        apply_override(values, origins, override)
    options = validate(module.OPTIONS, values, origins)
    shown = [f"--set {_redact_paths(override)}" for override in overrides]
    command = " ".join(["hfmm data", builder, *shown, f"--out {directory.name}"])
    card, name = directory / "README.md", repo or directory.name
    own = builder == "folder" or "." in builder
    again = bool(repo) and card.is_file() and _was_exported_by(card.read_text(encoding="utf-8"), name, command)
    if again and not own:
        return
    with tempfile.TemporaryDirectory() as cache:
        data = disable_media_decoding(module.build(options, Path(cache), num_proc))
        if again and fingerprint(data) == fingerprint(
            disable_media_decoding(load_dataset(str(directory), cache_dir=cache))
        ):
            return
        save_dataset(data, directory, name=name, command=command, description=module.DESCRIPTION, own=own, again=again)


def save_dataset(
    data: DatasetDict,
    directory: Path,
    *,
    name: str,
    command: str,
    description: str,
    own: bool = False,
    again: bool = False,
) -> None:
    """Write ``data``, hfmm's or the user's ``own``, so that ``load_dataset(directory)`` reads it on any machine.

    Raises UserError for a file that cannot be read, naming its row, and if the folder is not empty, unless it is there
    to be written ``again``.
    """
    if not again and directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty. Give another --out, or remove it.")
    with atomic_directory(directory) as temporary, tempfile.TemporaryDirectory() as cache:
        data = disable_media_decoding(
            DatasetDict({split: _embed_media(rows, split, Path(cache)) for split, rows in data.items()})
        )
        for split, rows in data.items():
            target = temporary / "data" / f"{split}-00000-of-00001.parquet"
            target.parent.mkdir(exist_ok=True)
            _enable_media_decoding(rows).to_parquet(str(target))
        contact_sheet(data).save(temporary / "contact_sheet.png")
        dataset_card(data, name, command, description, own).save(temporary / "README.md")


def _was_exported_by(card: str, name: str, command: str) -> bool:
    return f"# {name}\n" in card and f"`{command}` with hfmm" in card


def _redact_paths(override: str) -> str:
    """Return an option as the card shows it: the folders above the user's data are nobody else's business."""
    key, _, value = override.partition("=")
    return f"{key}={Path(value).name}" if Path(value).is_absolute() else override


def _embed_media(rows: Dataset, split: str, cache: Path) -> Dataset:
    """Return rows that hold their images and sounds themselves, wherever the files lay."""
    kinds = {name: media_feature(feature) for name, feature in rows.features.items() if media_feature(feature)}

    def embed(table: pa.Table, places: list[int]) -> pa.Table:
        for name, kind in kinds.items():
            word = "clip" if isinstance(kind, Audio) else "image"
            numbered = zip(places, table[name].to_pylist(), strict=True)
            values = [_embed_value(value, word, f"{split}, row {place}") for place, value in numbered]
            field = table.schema.field(name)
            table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
        return table

    if not kinds:
        return rows
    held = rows.with_format("arrow").map(
        embed, with_indices=True, batched=True, batch_size=BATCH, cache_file_name=str(cache / f"{split}.arrow")
    )
    return held.with_format(None)


def _embed_value(value: Any, word: str, row: str) -> Any:
    """Return a media value, or each of a list, with its bytes, and of its path the file's name alone."""
    if isinstance(value, list):
        return [_embed_value(one, word, row) for one in value]
    try:
        _, data = read_media(value, word)
    except UserError as error:
        raise UserError(f"{row}: {error}") from None
    return {"bytes": data, "path": Path(value["path"]).name if value["path"] else None}


def _enable_media_decoding(rows: Dataset) -> Dataset:
    """Return rows whose images and sounds are declared as such again, so that readers show and play them."""
    for name, feature in rows.features.items():
        if found := media_feature(feature):
            rows = rows.cast_column(name, replace_media_feature(feature, replace(found, decode=True)))
    return rows
