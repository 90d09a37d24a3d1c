"""The inputs of the tasks by modality: how a row is decoded, stored as bytes, written to a file and read from one."""

from __future__ import annotations

import base64
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import soundfile

from hfmm.data.common import audio, images
from hfmm.data.common.media import read_bytes
from hfmm.data.common.messages import Message, message_text, normalize_messages
from hfmm.data.common.rows import Row
from hfmm.errors import UserError

PNG = "data:image/png;base64,"


class Input(ABC):
    """What a model is given, of one modality."""

    modality: ClassVar[Literal["image", "audio", "chat", "text"]]
    """Tells the script that verifies a model how a stored input is read."""

    @staticmethod
    @abstractmethod
    def validate(row: Row) -> None:
        """Decode the input of a row; raises UserError if it cannot be decoded."""

    @staticmethod
    @abstractmethod
    def to_bytes(row: Row) -> bytes:
        """Return the input of a row as bytes, for predictions.parquet."""

    @staticmethod
    @abstractmethod
    def from_bytes(stored: bytes) -> dict[str, Any]:
        """Return the row of a stored input."""

    @staticmethod
    @abstractmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the input of a row as a file that anyone can open, and return the name of the file."""

    @staticmethod
    @abstractmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of one file and the texts that were passed beside it. Their id is the path."""


class ImageInput(Input):
    """One image a row, in the column ``image``."""

    modality = "image"

    @staticmethod
    def validate(row: Row) -> None:
        """Decode the image; raises UserError if it cannot be decoded."""
        images.decode(row["image"])

    @staticmethod
    def to_bytes(row: Row) -> bytes:
        """Return the bytes of the image file."""
        return read_bytes(row["image"])

    @staticmethod
    def from_bytes(stored: bytes) -> dict[str, Any]:
        """Return the row of a stored image file."""
        return {"id": "stored", "image": {"bytes": stored, "path": None}, "group": ""}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the image as PNG."""
        images.decode(row["image"]).save(folder / "example.png")
        return "example.png"

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the row of one image file."""
        return [{"id": path, "image": {"path": path, "bytes": None}, "group": path}]


class AudioInput(Input):
    """One clip a row, in the column ``audio``."""

    modality = "audio"

    @staticmethod
    def validate(row: Row) -> None:
        """Decode the clip; raises UserError if it cannot be decoded."""
        audio.decode(row["audio"])

    @staticmethod
    def to_bytes(row: Row) -> bytes:
        """Return the clip as the model receives it: a 16 kHz WAV of floats."""
        buffer = io.BytesIO()
        soundfile.write(buffer, audio.decode(row["audio"]), audio.SAMPLE_RATE, format="WAV", subtype="FLOAT")
        return buffer.getvalue()

    @staticmethod
    def from_bytes(stored: bytes) -> dict[str, Any]:
        """Return the row of a stored clip."""
        return {"id": "stored", "audio": {"bytes": stored, "path": None}, "group": ""}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the clip as WAV."""
        (folder / "example.wav").write_bytes(AudioInput.to_bytes(row))
        return "example.wav"

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the row of one audio file."""
        return [{"id": path, "audio": {"path": path, "bytes": None}, "group": path}]


class ChatInput(Input):
    """A conversation about images, in the columns ``messages`` and ``images``."""

    modality = "chat"

    @staticmethod
    def validate(row: Row) -> None:
        """Decode the images; raises UserError if one cannot be decoded."""
        for image in row["images"]:
            images.decode(image)

    @staticmethod
    def to_bytes(row: Row) -> bytes:
        """Return the conversation up to its last question as the pipeline takes it: JSON with PNG images inside."""
        remaining = iter(row["images"])
        messages = split_prompts(normalize_messages(row))[-1]
        for part in _image_parts(messages):
            part["url"] = PNG + base64.b64encode(images.encode(images.decode(next(remaining)))["bytes"]).decode()
        return json.dumps(messages, ensure_ascii=False).encode()

    @staticmethod
    def from_bytes(stored: bytes) -> dict[str, Any]:
        """Return the row of a stored conversation."""
        messages = json.loads(stored)
        urls = [part.pop("url") for part in _image_parts(messages)]
        decoded = [{"bytes": base64.b64decode(url.removeprefix(PNG)), "path": None} for url in urls]
        return {"id": "stored", "messages": messages, "images": decoded, "group": ""}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the images as PNG, and return the name of the first."""
        for index, image in enumerate(row["images"]):
            images.decode(image).save(folder / numbered_filename("example.png", index))
        return "example.png"

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return a row for each question about one image file."""
        image = {"path": path, "bytes": None}
        chats = [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}] for text in texts]
        return [{"id": path, "messages": chat, "images": [image], "group": path} for chat in chats]


class TextInput(Input):
    """A conversation in text, in the column ``messages``."""

    modality = "text"

    @staticmethod
    def validate(row: Row) -> None:
        """Read the messages; raises UserError if they are not a conversation."""
        text_messages(row)

    @staticmethod
    def to_bytes(row: Row) -> bytes:
        """Return the conversation up to its last question as the pipeline takes it, as JSON."""
        return json.dumps(split_prompts(text_messages(row))[-1], ensure_ascii=False).encode()

    @staticmethod
    def from_bytes(stored: bytes) -> dict[str, Any]:
        """Return the row of a stored conversation."""
        return {"id": "stored", "messages": json.loads(stored), "group": ""}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the text that the first question is about: its message without the last line."""
        subject, _, _ = text_messages(row)[0]["content"].rpartition("\n")
        (folder / "example.txt").write_text(subject, encoding="utf-8")
        return "example.txt"

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return a row for each question about the text in one file; raises UserError if it is not UTF-8 text."""
        try:
            subject = Path(path).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise UserError(f"{path} is not UTF-8 text, and this model reads text only.") from None
        chats = [[{"role": "user", "content": f"{subject}\n{text}"}] for text in texts]
        return [{"id": path, "messages": chat, "group": path} for chat in chats]


def text_messages(row: Row) -> list[Message]:
    """Return the messages of a row, the content of each as one text, which every chat template takes."""
    return [{"role": message["role"], "content": message_text(message)} for message in normalize_messages(row)]


def ends_with_assistant(messages: Sequence[Message]) -> bool:
    """Tell whether the last question of a conversation has its answer."""
    return bool(messages[-1]["role"] == "assistant")


def split_prompts(messages: list[Message]) -> list[list[Message]]:
    """Return the conversation up to each question that is to be answered; the last one if it has no answer yet."""
    if not ends_with_assistant(messages):
        return [messages]
    return [messages[:index] for index, message in enumerate(messages) if message["role"] == "assistant"]


def numbered_filename(name: str, index: int) -> str:
    """Return the file name of one of several images: example.png, example-2.png and so on."""
    stem, _, extension = name.partition(".")
    return f"{stem}-{index + 1}.{extension}" if index else name


def _image_parts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [part for message in messages for part in message["content"] if part["type"] == "image"]
