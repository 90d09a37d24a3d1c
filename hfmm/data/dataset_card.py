"""The card of an exported dataset: every number counted on its rows, and a snippet that reads it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from typing import Any

import soundfile
from datasets import Audio, ClassLabel, Dataset, DatasetDict, Image, List
from huggingface_hub import DatasetCard, DatasetCardData

from hfmm.data.contact_sheet import caption, has_conversations, has_pictures, has_sound
from hfmm.data.images import decode
from hfmm.data.stored import read_bytes
from hfmm.data.voices import VOICES

PICTURES_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # this repository: its Hub id, or the folder it was downloaded to
row = data["train"][0]
print(row["text"], row["image"].size)"""

SOUNDS_SNIPPET = """import io

import soundfile
from datasets import Audio, load_dataset

data = load_dataset("{name}")  # this repository: its Hub id, or the folder it was downloaded to
data = data.cast_column("audio", Audio(decode=False))  # soundfile decodes, so that no torchcodec is needed
row = data["train"][0]
samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
print(row["text"], len(samples) / rate)"""

CONVERSATIONS_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # this repository: its Hub id, or the folder it was downloaded to
row = data["train"][0]
print(*(image.size for image in row["images"]))
for message in row["messages"]:
    print(message["role"], message["content"])"""

CHATS_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # this repository: its Hub id, or the folder it was downloaded to
for message in data["train"][0]["messages"]:
    print(message["role"], message["content"])"""

TEXTS_ORIGIN = """The sentences are made from patterns and lists of words, not collected: a model that answers has
shown nothing about what people write. They are licensed as above."""

PICTURES_ORIGIN = """The pictures are drawn, not photographed: a model that reads them has shown
nothing about photographs. The fonts are open (DejaVu, STIX, Computer Modern and their licences);
the pictures themselves are licensed as above."""

SOUNDS_ORIGIN = """The speech is synthetic: a model that understands it has shown nothing about people, who vary more,
hesitate and talk over noise. The clips are licensed as above, the voices that speak them as follows.

| speaker | rows | voice | licence | from |
|---|---|---|---|---|
{voices}"""


def dataset_card(data: DatasetDict, name: str, command: str, description: str) -> DatasetCard:
    """Return the README.md of a dataset that ``command`` made."""
    train = data["train"]
    sounds, chats, pictures = has_sound(train), has_conversations(train), has_pictures(train)
    tasks = {
        "image-text-to-text": chats and pictures,
        "text-generation": chats,
        "automatic-speech-recognition": sounds,
        "image-classification": "label" in train.features,
        "zero-shot-image-classification": True,
    }
    metadata = DatasetCardData(
        language="en",
        license="apache-2.0",
        pretty_name=name,
        task_categories=[next(task for task, fits in tasks.items() if fits)],
        size_categories=[_size_category(sum(len(rows) for rows in data.values()))],
        tags=["synthetic", "grammar", "hfmm"],
        # Said, because readers that guess take any JSON file beside the data for rows.
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in data],
            }
        ],
    )
    columns = "\n".join(f"| `{column}` | {_describe(feature)} |" for column, feature in train.features.items())
    about_pictures = CONVERSATIONS_SNIPPET if chats else PICTURES_SNIPPET
    snippet = SOUNDS_SNIPPET if sounds else about_pictures if pictures else CHATS_SNIPPET
    origin = SOUNDS_ORIGIN.format(voices=_voices(data)) if sounds else PICTURES_ORIGIN if pictures else TEXTS_ORIGIN
    text = f"""---
{metadata.to_yaml()}
---

# {name}

{description}

![The first rows of every split](contact_sheet.png)

## Splits

{_splits(data)}

{_held_out(data)}
{_questions(data)}
## Columns

| column | type |
|---|---|
{columns}

## Use

```python
{snippet.format(name=name)}
```

```
{_first_row(train)}
```

## How it was made

`{command}` with hfmm. {origin}
"""
    return DatasetCard(text)


def _first_row(rows: Dataset) -> str:
    """Return what the snippet prints."""
    row = rows[0]
    if has_conversations(rows):
        sizes = [" ".join(str(decode(image).size) for image in row["images"])] if has_pictures(rows) else []
        return "\n".join([*sizes, *(f"{message['role']} {message['content']}" for message in row["messages"])])
    return f"{caption(rows, 0)} {_seconds(row['audio']) if has_sound(rows) else decode(row['image']).size}"


def _splits(data: DatasetDict) -> str:
    """Return the table of splits, with how long they sound."""
    if not has_sound(data["train"]):
        return "\n".join(
            ["| split | rows |", "|---|---|", *(f"| {split} | {len(rows):,} |" for split, rows in data.items())]
        )
    lines = ["| split | rows | minutes | longest clip, s |", "|---|---|---|---|"]
    for split, rows in data.items():
        seconds = [_seconds(value) for value in rows["audio"][:]]
        lines.append(f"| {split} | {len(rows):,} | {sum(seconds) / 60:.1f} | {max(seconds):.1f} |")
    return "\n".join(lines)


def _seconds(value: Any) -> float:
    return float(soundfile.info(io.BytesIO(read_bytes(value))).duration)


def _voices(data: DatasetDict) -> str:
    """Return, voice by voice, how many rows of which splits it speaks, and under which licence it may."""
    if "speaker" not in data["train"].column_names:
        return ""
    spoken = {split: list(rows["speaker"][:]) for split, rows in data.items()}
    lines = []
    for name in (name for name in VOICES if any(name in names for names in spoken.values())):
        rows = ", ".join(f"{names.count(name):,} {split}" for split, names in spoken.items() if name in names)
        voice = VOICES[name]
        lines.append(f"| {name} | {rows} | {voice.speaker} | {voice.licence} | {voice.source} |")
    return "\n".join(lines)


def _held_out(data: DatasetDict) -> str:
    """Say, measured on the rows, which fonts, backgrounds, speakers and groups test shares with training."""
    lines = []
    for column in ("font", "background", "speaker", "group"):
        if column in data["train"].column_names:
            train, test = (set(data[split][column][:]) for split in ("train", "test"))
            shared = len(train & test)
            lines.append(f"- `{column}`: {len(test)} values in test, {shared} of them also in train.")
    return "\n".join(lines)


def _questions(data: DatasetDict) -> str:
    """Return the table of how many questions of each kind are asked, and of how many pictures have which error."""
    lines = []
    for column, title in (("kinds", "questions"), ("error", "rows with an error")):
        if column in data["train"].column_names:
            counts = {split: Counter(_flat(rows[column][:])) for split, rows in data.items()}
            names = sorted({name for one in counts.values() for name in one if name})
            lines += ["", f"| {title} | {' | '.join(data)} |", "|---" * (1 + len(data)) + "|"]
            lines += [f"| {name} | {' | '.join(f'{one[name]:,}' for one in counts.values())} |" for name in names]
    return "\n".join([*lines, ""])


def _flat(values: Iterable[Any]) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _describe(feature: Any) -> str:
    if isinstance(feature, ClassLabel):
        return f"class, {feature.num_classes} values"
    if isinstance(feature, List):
        return f"list of {_describe(feature.feature)}"
    if isinstance(feature, dict):
        return f"{{{', '.join(f'{name}: {_describe(one)}' for name, one in feature.items())}}}"
    if isinstance(feature, Audio):
        return f"sound, {feature.sampling_rate:,} Hz"
    return "image" if isinstance(feature, Image) else str(getattr(feature, "dtype", feature))


def _size_category(rows: int) -> str:
    for limit, label in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if rows < limit:
            return label
    return "1M<n<10M"
