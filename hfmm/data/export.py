"""A built dataset as a Hub repository: Parquet files, a dataset card and a contact sheet."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from datasets import ClassLabel, Dataset, DatasetDict, Image, List
from huggingface_hub import DatasetCard, DatasetCardData
from PIL import Image as Pillow
from PIL import ImageDraw

from hfmm import parts
from hfmm.data import drawing
from hfmm.data.images import decode
from hfmm.errors import UserError
from hfmm.run_directory import atomic_directory
from hfmm.strict import validate

COLUMNS, ROWS, TILE, CAPTION = 8, 5, 128, 18


def export_builder(builder: str, overrides: Sequence[str], directory: Path, num_proc: int) -> None:
    """Build a dataset by name with ``key=value`` options and export it; raises UserError for a wrong option."""
    module = parts.find("data", builder, "build", "data")
    values = dict(override.partition("=")[::2] for override in overrides)
    values = {key: yaml.safe_load(value) for key, value in values.items()}
    options = validate(module.Options, values, {key: f"--set {key}={value}" for key, value in values.items()})
    command = " ".join(
        ["hfmm data", builder, *(f"--set {override}" for override in overrides), f"--out {directory.name}"]
    )
    with tempfile.TemporaryDirectory() as cache:
        data = module.build(options, Path(cache), num_proc)
        export(data, directory, name=directory.name, command=command, description=module.DESCRIPTION)


def export(data: DatasetDict, directory: Path, *, name: str, command: str, description: str) -> None:
    """Write ``data`` so that ``load_dataset(directory)`` reads it; raises UserError if the folder is not empty."""
    if directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty. Give another --out, or remove it.")
    with atomic_directory(directory) as temporary:
        for split, rows in data.items():
            target = temporary / "data" / f"{split}-00000-of-00001.parquet"
            target.parent.mkdir(exist_ok=True)
            _with_embedded_images(rows).to_parquet(str(target))
        contact_sheet(data).save(temporary / "contact_sheet.png")
        _card(data, name, command, description).save(temporary / "README.md")


def contact_sheet(data: DatasetDict) -> Pillow.Image:
    """Return a picture of the first rows of every split under each other, captioned with their text."""
    tile_height = TILE + CAPTION
    sheet = Pillow.new("RGB", (COLUMNS * (TILE + 8) + 8, len(data) * (2 * (tile_height + 6) + 26)), "white")
    canvas = ImageDraw.Draw(sheet)
    heading, small = drawing.font("DejaVuSans-Bold", 15), drawing.font("DejaVuSans", 11)
    top = 4
    for split, rows in data.items():
        canvas.text((8, top), f"{split} ({len(rows):,} rows)", fill="black", font=heading)
        top += 24
        for index in range(min(2 * COLUMNS, len(rows))):
            x = 8 + index % COLUMNS * (TILE + 8)
            y = top + index // COLUMNS * (tile_height + 6)
            picture = decode(rows[index]["image"])
            sheet.paste(picture.resize((TILE, TILE), Pillow.Resampling.BICUBIC), (x, y))
            canvas.text((x, y + TILE + 2), caption(rows, index)[:22], fill="black", font=small)
        top += 2 * (tile_height + 6)
    return sheet


def caption(rows: Dataset, index: int) -> str:
    """Return the text of a row, or its label where it has none."""
    row = rows[index]
    if row.get("text"):
        return str(row["text"])
    feature: Any = rows.features["label"]
    if isinstance(feature, ClassLabel):
        return str(feature.int2str(row["label"]))
    return ", ".join(feature.feature.int2str(row["label"]))


def _with_embedded_images(rows: Dataset) -> Dataset:
    """Return rows whose image column is declared as such again, so that readers decode it."""
    for name, feature in rows.features.items():
        if isinstance(feature, Image):
            rows = rows.cast_column(name, Image())
    return rows


def _card(data: DatasetDict, name: str, command: str, description: str) -> DatasetCard:
    train = data["train"]
    metadata = DatasetCardData(
        language="en",
        license="apache-2.0",
        pretty_name=name,
        task_categories=["image-classification" if "label" in train.features else "zero-shot-image-classification"],
        size_categories=[_size_category(sum(len(rows) for rows in data.values()))],
        tags=["synthetic", "grammar", "hfmm"],
    )
    columns = "\n".join(f"| `{column}` | {_describe(feature)} |" for column, feature in train.features.items())
    splits = "\n".join(f"| {split} | {len(rows):,} |" for split, rows in data.items())
    held_out = _held_out(data)
    text = f"""---
{metadata.to_yaml()}
---

# {name}

{description}

![The first rows of every split](contact_sheet.png)

## Splits

| split | rows |
|---|---|
{splits}

{held_out}

## Columns

| column | type |
|---|---|
{columns}

## Use

```python
from datasets import load_dataset

data = load_dataset("{name}")  # this repository: its Hub id, or the folder it was downloaded to
row = data["train"][0]
print(row["text"], row["image"].size)
```

```
{caption(train, 0)} {decode(train[0]["image"]).size}
```

## How it was made

`{command}` with hfmm. The pictures are drawn, not photographed: a model that reads them has shown
nothing about photographs. The fonts are open (DejaVu, STIX, Computer Modern and their licences);
the pictures themselves are licensed as above.
"""
    return DatasetCard(text)


def _held_out(data: DatasetDict) -> str:
    """Say, measured on the rows, which fonts, backgrounds and groups the test split shares with training."""
    lines = []
    for column in ("font", "background", "group"):
        if column in data["train"].column_names:
            train, test = (set(data[split][column][:]) for split in ("train", "test"))
            shared = len(train & test)
            lines.append(f"- `{column}`: {len(test)} values in test, {shared} of them also in train.")
    return "\n".join(lines)


def _describe(feature: Any) -> str:
    if isinstance(feature, ClassLabel):
        return f"class, {feature.num_classes} values"
    if isinstance(feature, List):
        return f"list of {_describe(feature.feature)}"
    return "image" if isinstance(feature, Image) else str(getattr(feature, "dtype", feature))


def _size_category(rows: int) -> str:
    for limit, label in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if rows < limit:
            return label
    return "1M<n<10M"
