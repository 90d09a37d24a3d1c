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

from hfmm import parts
from hfmm.data.media import medium, with_medium
from hfmm.data.stored import read_bytes
from hfmm.errors import UserError
from hfmm.recipe import Data
from hfmm.strict import validate


def resolve(spec: Data, origins: Mapping[str, str], prefix: str = "data") -> tuple[ModuleType, BaseModel]:
    """Return the builder's module and its checked options; raises UserError for an unknown one.

    ``prefix`` is the recipe's key that ``spec`` stands under, ``origins`` tells the line of each key.
    """
    where = origins.get(f"{prefix}.builder", "recipe")
    builder = parts.find("data", spec.builder, "build", f"{where}: {prefix}.builder")
    return builder, validate(builder.Options, spec.options, origins, prefix=prefix)


def build(spec: Data, origins: Mapping[str, str], cache: Path, num_proc: int = 1, prefix: str = "data") -> DatasetDict:
    """Return the splits of a dataset, media undecoded; raises UserError for an empty split."""
    builder, options = resolve(spec, origins, prefix)
    data: DatasetDict = builder.build(options, cache, num_proc)
    for split in ("train", "validation", "test"):
        if split not in data or not len(data[split]):
            raise UserError(f"{prefix}: the {split} split of {spec.builder!r} is empty. Every run needs one with rows.")
    return undecoded(data)


def undecoded(data: DatasetDict) -> DatasetDict:
    """Return the data with images and sounds left as bytes or paths, so that our own decoders meet a bad one."""
    for name, feature in data["train"].features.items():
        if found := medium(feature):
            data = data.cast_column(name, with_medium(feature, replace(found, decode=False)))
    return data


def fingerprint(data: DatasetDict) -> str:
    """Return a SHA-256 over the content of all rows of all splits, wherever their files lie."""
    digest = hashlib.sha256()
    for split, rows in data.items():
        digest.update(f"{split}:{len(rows)}".encode())
        media = [name for name, feature in rows.features.items() if medium(feature)]
        for batch in rows.with_format("arrow").iter(batch_size=1000):
            columns = batch.to_pydict()
            for name in sorted(columns):
                values = map(_media_content, columns[name]) if name in media else map(_plain_content, columns[name])
                digest.update(name.encode())
                for value in values:
                    digest.update(value)
    return digest.hexdigest()


def _plain_content(value: Any) -> bytes:
    return repr(value).encode()


def _media_content(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(map(_media_content, value))
    try:
        return read_bytes(value)
    except (OSError, TypeError):
        return b"unreadable"
