"""A built dataset as a Hub repository: Parquet files that show or play, a dataset card and a contact sheet."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from datasets import Dataset, DatasetDict

from hfmm import parts
from hfmm.data.contact_sheet import contact_sheet
from hfmm.data.dataset_card import dataset_card
from hfmm.data.media import medium, with_medium
from hfmm.errors import UserError
from hfmm.run_directory import atomic_directory
from hfmm.strict import validate


def export_builder(
    builder: str, overrides: Sequence[str], directory: Path, num_proc: int, repo: str | None = None
) -> None:
    """Build a dataset by name with ``key=value`` options and export it; raises UserError for a wrong option.

    With the ``repo`` that it is for, what the same command left in the folder before is not made again.
    """
    module = parts.find("data", builder, "build", "data")
    values = dict(override.partition("=")[::2] for override in overrides)
    values = {key: yaml.safe_load(value) for key, value in values.items()}
    options = validate(module.Options, values, {key: f"--set {key}={value}" for key, value in values.items()})
    command = " ".join(
        ["hfmm data", builder, *(f"--set {override}" for override in overrides), f"--out {directory.name}"]
    )
    card, name = directory / "README.md", repo or directory.name
    if repo and card.is_file() and _is_made_by(card.read_text(encoding="utf-8"), name, command):
        return
    with tempfile.TemporaryDirectory() as cache:
        data = module.build(options, Path(cache), num_proc)
        export(data, directory, name=name, command=command, description=module.DESCRIPTION)


def export(data: DatasetDict, directory: Path, *, name: str, command: str, description: str) -> None:
    """Write ``data`` so that ``load_dataset(directory)`` reads it; raises UserError if the folder is not empty."""
    if directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty. Give another --out, or remove it.")
    with atomic_directory(directory) as temporary:
        for split, rows in data.items():
            target = temporary / "data" / f"{split}-00000-of-00001.parquet"
            target.parent.mkdir(exist_ok=True)
            _with_embedded_media(rows).to_parquet(str(target))
        contact_sheet(data).save(temporary / "contact_sheet.png")
        dataset_card(data, name, command, description).save(temporary / "README.md")


def _is_made_by(card: str, name: str, command: str) -> bool:
    return f"# {name}\n" in card and f"`{command}` with hfmm" in card


def _with_embedded_media(rows: Dataset) -> Dataset:
    """Return rows whose images and sounds are declared as such again, so that readers show and play them."""
    for name, feature in rows.features.items():
        if found := medium(feature):
            rows = rows.cast_column(name, with_medium(feature, replace(found, decode=True)))
    return rows
