"""The card of an exported dataset: every number counted on its rows, and a snippet that reads it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from typing import Any

import soundfile
from datasets import Audio, ClassLabel, Dataset, DatasetDict, Image, List
from huggingface_hub import DatasetCard, DatasetCardData

from hfmm.card.contact_sheet import has_conversations, has_pictures, has_sound
from hfmm.data.common.images import decode
from hfmm.data.common.media import read_media
from hfmm.data.common.tts import VOICES
from hfmm.errors import UserError

TEXT_COLUMNS = ("text", "captions", "label", "id")  # the first that rows have says what one of them is

ROWS_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # this repository: its Hub id, or the folder it was downloaded to
row = data["train"][0]
print(row["{said}"])"""

PICTURES_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # this repository: its Hub id, or the folder it was downloaded to
row = data["train"][0]
print(row["{said}"], row["image"].size)"""

SOUNDS_SNIPPET = """import io

import soundfile
from datasets import Audio, load_dataset

data = load_dataset("{name}")  # this repository: its Hub id, or the folder it was downloaded to
data = data.cast_column("audio", Audio(decode=False))  # soundfile decodes, so that no torchcodec is needed
row = data["train"][0]
samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
print(row["{said}"], len(samples) / rate)"""

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

USER_DATA_NOTE = """The rows are not hfmm's: it has read them and written them down. This card does not know how they came
about, nor under which licence they may be used."""

SYNTHETIC_TEXT_NOTE = """The sentences are made from patterns and lists of words, not collected: a model that answers has
shown nothing about what people write. They are licensed as above."""

SYNTHETIC_IMAGE_NOTE = """The pictures are drawn, not photographed: a model that reads them has shown
nothing about photographs. The fonts are open (DejaVu, STIX, Computer Modern and their licences);
the pictures themselves are licensed as above."""

SYNTHETIC_SPEECH_NOTE = """The speech is synthetic: a model that understands it has shown nothing about people, who vary more,
hesitate and talk over noise. The clips are licensed as above, the voices that speak them as follows.

| speaker | rows | voice | licence | from |
|---|---|---|---|---|
{voices}"""


def dataset_card(data: DatasetDict, name: str, command: str, description: str, own: bool) -> DatasetCard:
    """Return the README.md of a dataset that ``command`` made, or of the user's ``own`` that it read.

    Raises UserError for a clip whose length cannot be told.
    """
    train = data["train"]
    sounds, chats, pictures = has_sound(train), has_conversations(train), has_pictures(train)
    tasks = {
        "image-text-to-text": chats and pictures,
        "text-generation": chats,
        "automatic-speech-recognition": sounds,
        "image-classification": pictures and "label" in train.features,
        "zero-shot-image-classification": pictures,
    }
    metadata = DatasetCardData(
        language=None if own else "en",
        license=None if own else "apache-2.0",
        pretty_name=name,
        task_categories=[task for task, fits in tasks.items() if fits][:1] or None,
        size_categories=[_size_category(sum(len(rows) for rows in data.values()))],
        tags=["hfmm"] if own else ["synthetic", "grammar", "hfmm"],
        # Said, because readers that guess take any JSON file beside the data for rows.
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in data],
            }
        ],
    )
    columns = "\n".join(f"| `{column}` | {_feature_type(feature)} |" for column, feature in train.features.items())
    snippet, printed = _usage_snippet(train, name)
    made = (
        SYNTHETIC_SPEECH_NOTE.format(voices=_voices(data))
        if sounds
        else SYNTHETIC_IMAGE_NOTE
        if pictures
        else SYNTHETIC_TEXT_NOTE
    )
    text = f"""---
{metadata.to_yaml()}
---

# {name}

{description}

![The first rows of every split](contact_sheet.png)

## Splits

{_splits(data)}

{_split_overlap(data)}
{_questions(data)}
## Columns

| column | type |
|---|---|
{columns}

## Use

```python
{snippet}
```

```
{printed}
```

## How it was made

`{command}` with hfmm. {USER_DATA_NOTE if own else made}
"""
    return DatasetCard(text)


def _usage_snippet(rows: Dataset, name: str) -> tuple[str, str]:
    """Return the snippet that reads the first row, and what it prints."""
    row = rows[0]
    if has_conversations(rows):
        messages = [f"{message['role']} {message['content']}" for message in row["messages"]]
        if "images" not in row:
            return CHATS_SNIPPET.format(name=name), "\n".join(messages)
        sizes = " ".join(str(decode(image).size) for image in row["images"])
        return CONVERSATIONS_SNIPPET.format(name=name), "\n".join([sizes, *messages])
    said = next(one for one in TEXT_COLUMNS if one in row)
    if has_sound(rows):
        return SOUNDS_SNIPPET.format(name=name, said=said), f"{row[said]} {_seconds(row['audio'], 'train, row 0')}"
    if isinstance(rows.features.get("image"), Image):
        return PICTURES_SNIPPET.format(name=name, said=said), f"{row[said]} {decode(row['image']).size}"
    return ROWS_SNIPPET.format(name=name, said=said), str(row[said])


def _splits(data: DatasetDict) -> str:
    """Return the table of splits, with how long they sound."""
    if not has_sound(data["train"]):
        return "\n".join(
            ["| split | rows |", "|---|---|", *(f"| {split} | {len(rows):,} |" for split, rows in data.items())]
        )
    lines = ["| split | rows | minutes | longest clip, s |", "|---|---|---|---|"]
    for split, rows in data.items():
        seconds = [_seconds(value, f"{split}, row {place}") for place, value in enumerate(rows["audio"][:])]
        lines.append(f"| {split} | {len(rows):,} | {sum(seconds) / 60:.1f} | {max(seconds):.1f} |")
    return "\n".join(lines)


def _seconds(value: Any, row: str) -> float:
    name, data = read_media(value, "clip")
    try:
        return float(soundfile.info(io.BytesIO(data)).duration)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{row}: {name} is no audio that can be read: {error.error_string}") from None


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


def _split_overlap(data: DatasetDict) -> str:
    """Say, measured on the rows, which fonts, backgrounds, speakers and groups test shares with training."""
    lines = []
    for column in ("font", "background", "speaker", "group"):
        if column in data["train"].column_names:
            train, test = (set(data[split][column][:]) for split in ("train", "test"))
            values = "1 value" if len(test) == 1 else f"{len(test)} values"
            lines.append(f"- `{column}`: {values} in test, {len(train & test)} of them also in train.")
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


def _feature_type(feature: Any) -> str:
    if isinstance(feature, ClassLabel):
        return f"class, {feature.num_classes} values"
    if isinstance(feature, List):
        return f"list of {_feature_type(feature.feature)}"
    if isinstance(feature, dict):
        return f"{{{', '.join(f'{name}: {_feature_type(one)}' for name, one in feature.items())}}}"
    if isinstance(feature, Audio):
        return f"sound, {feature.sampling_rate:,} Hz" if feature.sampling_rate else "sound"
    return "image" if isinstance(feature, Image) else str(getattr(feature, "dtype", feature))


def _size_category(rows: int) -> str:
    for limit, label in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if rows < limit:
            return label
    return "1M<n<10M"
