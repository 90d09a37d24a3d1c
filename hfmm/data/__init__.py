"""Dataset builders, one per module. `build` runs the builder that a recipe names and checks its result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from datasets import DatasetDict
from pydantic import BaseModel

from hfmm import registry
from hfmm.data.common.media import media_feature, read_bytes, replace_media_feature
from hfmm.errors import UserError
from hfmm.recipe.schema import Data
from hfmm.recipe.validation import validate


def find_builder(
    data_options: Data, key_locations: Mapping[str, str], prefix: str = "data"
) -> tuple[ModuleType, BaseModel]:
    """Return the builder's module and its validated options. Raises UserError for an unknown builder.

    ``prefix`` is the recipe key of ``data_options``. ``key_locations`` maps each recipe key to its file and line.
    """
    location = key_locations.get(f"{prefix}.builder", "recipe")
    builder = registry.get("data", data_options.builder, f"{location}: {prefix}.builder")
    return builder, validate(builder.OPTIONS, data_options.options, key_locations, prefix=prefix)


def build(
    data_options: Data, key_locations: Mapping[str, str], cache: Path, num_proc: int = 1, prefix: str = "data"
) -> DatasetDict:
    """Return the splits of a dataset with undecoded media. Raises UserError for a missing or empty split."""
    builder, options = find_builder(data_options, key_locations, prefix)
    data: DatasetDict = builder.build(options, cache, num_proc)
    for split in ("train", "validation", "test"):
        if split not in data or not len(data[split]):
            raise UserError(
                f"{prefix}: the {split} split of {data_options.builder!r} is empty. A run needs at least one row in "
                "each of train, validation and test."
            )
    return disable_media_decoding(data)


def disable_media_decoding(data: DatasetDict) -> DatasetDict:
    """Return the dataset with images and audio left as bytes or paths, so that hfmm decodes them and reports errors."""
    for name, feature in data["train"].features.items():
        if media := media_feature(feature):
            data = data.cast_column(name, replace_media_feature(feature, replace(media, decode=False)))
    return data


def fingerprint(data: DatasetDict) -> str:
    """Return a SHA-256 of the content of all rows in all splits. It does not depend on where the files are stored."""
    digest = hashlib.sha256()
    for split, rows in data.items():
        digest.update(f"{split}:{len(rows)}".encode())
        media_columns = [name for name, feature in rows.features.items() if media_feature(feature)]
        for batch in rows.with_format("arrow").iter(batch_size=1000):
            columns = batch.to_pydict()
            for name in sorted(columns):
                hash_cell = _hash_media if name in media_columns else _hash_value
                digest.update(name.encode())
                for value in columns[name]:
                    digest.update(hash_cell(value))
    return digest.hexdigest()


def _hash_value(value: Any) -> bytes:
    return repr(value).encode()


def _hash_media(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(map(_hash_media, value))
    try:
        return read_bytes(value)
    except (OSError, TypeError):
        return b"unreadable"
