"""The card of an exported dataset: numbers that are counted on its rows, and a snippet that loads it."""

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

TEXT_COLUMNS = ("text", "captions", "label", "id")  # the snippet prints the first of them that the rows have

ROWS_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # the Hub id of this repository, or its local folder
row = data["train"][0]
print(row["{column}"])"""

PICTURES_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # the Hub id of this repository, or its local folder
row = data["train"][0]
print(row["{column}"], row["image"].size)"""

SOUNDS_SNIPPET = """import io

import soundfile
from datasets import Audio, load_dataset

data = load_dataset("{name}")  # the Hub id of this repository, or its local folder
data = data.cast_column("audio", Audio(decode=False))  # soundfile decodes: torchcodec is not needed
row = data["train"][0]
samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
print(row["{column}"], len(samples) / rate)"""

CONVERSATIONS_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # the Hub id of this repository, or its local folder
row = data["train"][0]
print(*(image.size for image in row["images"]))
for message in row["messages"]:
    print(message["role"], message["content"])"""

CHATS_SNIPPET = """from datasets import load_dataset

data = load_dataset("{name}")  # the Hub id of this repository, or its local folder
for message in data["train"][0]["messages"]:
    print(message["role"], message["content"])"""

USER_DATA_NOTE = """hfmm only converted the rows and did not create them. It knows neither their origin nor their
license, so this card states none."""

SYNTHETIC_TEXT_NOTE = """The sentences are generated from patterns and word lists. Results on them do not show how a
model handles text written by people. They are licensed as above."""

SYNTHETIC_IMAGE_NOTE = """The images are drawn, not photographed. Results on them do not show how a model handles
photographs. The fonts are open (DejaVu, STIX and Computer Modern, under their own licenses). The images are licensed as
above."""

SYNTHETIC_SPEECH_NOTE = """The speech is synthetic. People vary more, hesitate and talk over noise, so results on it do
not show how a model handles real speech. The clips are licensed as above, the voices as follows.

| speaker | rows | voice | license | source |
|---|---|---|---|---|
{voices}"""


def dataset_card(data: DatasetDict, name: str, command: str, description: str, is_user_data: bool) -> DatasetCard:
    """Return the README.md of an exported dataset.

    Args:
        data: The splits of the dataset.
        name: The Hub id of the dataset, or the name of its folder.
        command: The command that built it.
        description: What the rows are.
        is_user_data: The rows were read from files of the user. The card then states no license and no language.

    Raises:
        UserError: The length of a clip could not be read.
    """
    train = data["train"]
    is_audio, is_chat, with_images = has_sound(train), has_conversations(train), has_pictures(train)
    tasks = {
        "image-text-to-text": is_chat and with_images,
        "text-generation": is_chat,
        "automatic-speech-recognition": is_audio,
        "image-classification": with_images and "label" in train.features,
        "zero-shot-image-classification": with_images,
    }
    metadata = DatasetCardData(
        language=None if is_user_data else "en",
        license=None if is_user_data else "apache-2.0",
        pretty_name=name,
        task_categories=[task for task, is_supported in tasks.items() if is_supported][:1] or None,
        size_categories=[_size_category(sum(len(rows) for rows in data.values()))],
        tags=["hfmm"] if is_user_data else ["synthetic", "grammar", "hfmm"],
        # Without it, loaders that guess the format read any JSON file next to the data as rows.
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in data],
            }
        ],
    )
    columns = "\n".join(f"| `{column}` | {_feature_type(feature)} |" for column, feature in train.features.items())
    snippet, printed = _usage_snippet(train, name)
    synthetic_note = (
        SYNTHETIC_SPEECH_NOTE.format(voices=_voices(data))
        if is_audio
        else SYNTHETIC_IMAGE_NOTE
        if with_images
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

`{command}` with hfmm. {USER_DATA_NOTE if is_user_data else synthetic_note}
"""
    return DatasetCard(text)


def _usage_snippet(rows: Dataset, name: str) -> tuple[str, str]:
    """Return the snippet that loads the first row, and what it prints."""
    row = rows[0]
    if has_conversations(rows):
        messages = [f"{message['role']} {message['content']}" for message in row["messages"]]
        if "images" not in row:
            return CHATS_SNIPPET.format(name=name), "\n".join(messages)
        sizes = " ".join(str(decode(image).size) for image in row["images"])
        return CONVERSATIONS_SNIPPET.format(name=name), "\n".join([sizes, *messages])
    column = next(name for name in TEXT_COLUMNS if name in row)
    if has_sound(rows):
        return SOUNDS_SNIPPET.format(
            name=name, column=column
        ), f"{row[column]} {_seconds(row['audio'], 'train, row 0')}"
    if isinstance(rows.features.get("image"), Image):
        return PICTURES_SNIPPET.format(name=name, column=column), f"{row[column]} {decode(row['image']).size}"
    return ROWS_SNIPPET.format(name=name, column=column), str(row[column])


def _splits(data: DatasetDict) -> str:
    """Return the table of splits, with their duration if the rows are audio clips."""
    if not has_sound(data["train"]):
        return "\n".join(
            ["| split | rows |", "|---|---|", *(f"| {split} | {len(rows):,} |" for split, rows in data.items())]
        )
    lines = ["| split | rows | minutes | longest clip, s |", "|---|---|---|---|"]
    for split, rows in data.items():
        seconds = [_seconds(value, f"{split}, row {index}") for index, value in enumerate(rows["audio"][:])]
        lines.append(f"| {split} | {len(rows):,} | {sum(seconds) / 60:.1f} | {max(seconds):.1f} |")
    return "\n".join(lines)


def _seconds(value: Any, row: str) -> float:
    """Return the duration of a clip; raises UserError with its row if the file is not audio."""
    name, data = read_media(value, "clip")
    try:
        return float(soundfile.info(io.BytesIO(data)).duration)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{row}: {name} is not audio that libsndfile can read: {error.error_string}") from None


def _voices(data: DatasetDict) -> str:
    """Return the table rows of the voices: the number of rows per split, and the license."""
    if "speaker" not in data["train"].column_names:
        return ""
    speakers = {split: list(rows["speaker"][:]) for split, rows in data.items()}
    lines = []
    for name in (name for name in VOICES if any(name in names for names in speakers.values())):
        rows = ", ".join(f"{names.count(name):,} {split}" for split, names in speakers.items() if name in names)
        voice = VOICES[name]
        lines.append(f"| {name} | {rows} | {voice.speaker} | {voice.licence} | {voice.source} |")
    return "\n".join(lines)


def _split_overlap(data: DatasetDict) -> str:
    """Return how many fonts, backgrounds, speakers and groups of the test split also occur in training."""
    lines = []
    for column in ("font", "background", "speaker", "group"):
        if column in data["train"].column_names:
            train, test = (set(data[split][column][:]) for split in ("train", "test"))
            values = "1 value" if len(test) == 1 else f"{len(test)} values"
            lines.append(f"- `{column}`: {values} in test, {len(train & test)} of them also in train.")
    return "\n".join(lines)


def _questions(data: DatasetDict) -> str:
    """Return the tables of the questions of each kind, and of the rows with each error."""
    lines = []
    for column, title in (("kinds", "questions"), ("error", "rows with an error")):
        if column in data["train"].column_names:
            counts = {split: Counter(_flat(rows[column][:])) for split, rows in data.items()}
            names = sorted({name for count in counts.values() for name in count if name})
            lines += ["", f"| {title} | {' | '.join(data)} |", "|---" * (1 + len(data)) + "|"]
            lines += [f"| {name} | {' | '.join(f'{count[name]:,}' for count in counts.values())} |" for name in names]
    return "\n".join([*lines, ""])


def _flat(values: Iterable[Any]) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _feature_type(feature: Any) -> str:
    if isinstance(feature, ClassLabel):
        return f"class, {feature.num_classes} values"
    if isinstance(feature, List):
        return f"list of {_feature_type(feature.feature)}"
    if isinstance(feature, dict):
        return f"{{{', '.join(f'{name}: {_feature_type(field)}' for name, field in feature.items())}}}"
    if isinstance(feature, Audio):
        return f"audio, {feature.sampling_rate:,} Hz" if feature.sampling_rate else "audio"
    return "image" if isinstance(feature, Image) else str(getattr(feature, "dtype", feature))


def _size_category(rows: int) -> str:
    for limit, label in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if rows < limit:
            return label
    return "1M<n<10M"
