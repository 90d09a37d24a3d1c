"""One dataset a file; `build` finds the builder that a recipe names and checks what it built."""

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


def find_builder(spec: Data, origins: Mapping[str, str], prefix: str = "data") -> tuple[ModuleType, BaseModel]:
    """Return the builder's module and its checked options; raises UserError for an unknown one.

    ``prefix`` is the recipe's key that ``spec`` stands under, ``origins`` tells the line of each key.
    """
    where = origins.get(f"{prefix}.builder", "recipe")
    builder = registry.get("data", spec.builder, f"{where}: {prefix}.builder")
    return builder, validate(builder.OPTIONS, spec.options, origins, prefix=prefix)


def build(spec: Data, origins: Mapping[str, str], cache: Path, num_proc: int = 1, prefix: str = "data") -> DatasetDict:
    """Return the splits of a dataset, media undecoded; raises UserError for an empty split."""
    builder, options = find_builder(spec, origins, prefix)
    data: DatasetDict = builder.build(options, cache, num_proc)
    for split in ("train", "validation", "test"):
        if split not in data or not len(data[split]):
            raise UserError(f"{prefix}: the {split} split of {spec.builder!r} is empty. Every run needs one with rows.")
    return disable_media_decoding(data)


def disable_media_decoding(data: DatasetDict) -> DatasetDict:
    """Return the data with images and sounds left as bytes or paths, so that our own decoders meet a bad one."""
    for name, feature in data["train"].features.items():
        if found := media_feature(feature):
            data = data.cast_column(name, replace_media_feature(feature, replace(found, decode=False)))
    return data


def fingerprint(data: DatasetDict) -> str:
    """Return a SHA-256 over the content of all rows of all splits, wherever their files lie."""
    digest = hashlib.sha256()
    for split, rows in data.items():
        digest.update(f"{split}:{len(rows)}".encode())
        media = [name for name, feature in rows.features.items() if media_feature(feature)]
        for batch in rows.with_format("arrow").iter(batch_size=1000):
            columns = batch.to_pydict()
            for name in sorted(columns):
                values = map(_hash_media, columns[name]) if name in media else map(_hash_value, columns[name])
                digest.update(name.encode())
                for value in values:
                    digest.update(value)
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
