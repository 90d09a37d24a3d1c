"""Speech recognition: a clip of somebody speaking becomes the text that was said."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from datasets import Features
from pydantic import Field

from hfmm.data.acoustics import vary
from hfmm.data.audio import RATE, decode, decode_rows
from hfmm.errors import UserError
from hfmm.grammar import CELLS, parse
from hfmm.metrics.transcripts import light
from hfmm.models import whisper
from hfmm.strict import Strict
from hfmm.tasks import UNLABELLED
from hfmm.tasks.ctc import ctc
from hfmm.tasks.draws import key
from hfmm.tasks.kept import Kept
from hfmm.tasks.listener import Listener
from hfmm.tasks.spec_augment import mask

Row = Mapping[str, Any]

AHEAD = 4  # batches whose clips are sorted by length before they are heard


class Task:
    """Cross-entropy over the tokens of the transcript, each token of a step weighing the same.

    With ``ctc`` the encoder spells the transcript as well, through the output layer of the decoder: a decoder that
    starts from random weights finds much sooner where to look (Kim et al. 2017, arXiv:1609.06773).

    With ``replace`` some of the tokens that the decoder has before it are others than were said: it may not go on by
    heart from what it has written, it has to listen.

    While training a clip is heard at another speed and pitch, in another room and over other noise in each epoch, and
    with parts of its spectrum masked (SpecAugment, arXiv:1904.08779).
    """

    auto_class = whisper.AUTO_CLASS
    pipeline_tag = "automatic-speech-recognition"
    medium = "audio"
    columns = ("id", "audio", "text", "group")
    answers = ("text", "group")
    draws = True
    joint = False
    scores = False
    takes_features = False
    texts: tuple[str, ...] = ()
    passes = 1

    class Options(Strict):
        """What `task: {name: speech_recognition}` takes."""

        vary: float = Field(0.5, ge=0, le=1, description="share of the clips that are heard in another voice and room")
        mask: bool = Field(True, description="SpecAugment")
        replace: float = Field(0, ge=0, le=1, description="share of the decoder's input tokens that are random ones")
        ctc: float = Field(0, ge=0, le=1, description="share of the loss by which the encoder has to spell by itself")

    def __init__(self, config: Any, processor: Any, options: Options) -> None:
        self.config, self.options, self.listener = config, options, Listener(processor)
        self.clips = Kept(lambda rows: [{"samples": clip} for clip in decode_rows(rows)], "audio")

    @staticmethod
    def checker(config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return what raises UserError for a clip that cannot be heard whole and for a transcript empty or too long."""
        listener = Listener(processor)
        longest, room = listener.window / RATE, whisper.longest(config, processor)

        def check(row: Row) -> None:
            seconds = len(decode(row["audio"])) / RATE
            if seconds > longest:
                raise UserError(
                    f"the clip lasts {seconds:.1f} s and the model hears {longest:g} s at a time: cut it, or widen "
                    "model.window_seconds"
                )
            if not isinstance(row["text"], str) or not row["text"].strip():
                raise UserError("its transcript is empty")
            count = len(whisper.label_ids(config, listener.tokenizer, row["text"]))
            if count > room:
                raise UserError(
                    f"the transcript {row['text'][:40]!r} has {count} tokens, and of a window of {longest:g} s no "
                    f"more than {room} are sure to be written: cut the clip and its transcript"
                )

        return check

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[Row]:
        """Return the row of one sound file."""
        return [{"id": path, "audio": {"path": path, "bytes": None}, "text": "", "group": path}]

    def reference(self, row: Row) -> dict[str, Any]:
        """Return the transcript, its group, and the readings of its verb forms."""
        found = parse(row["text"])
        # The group of a row of the verb grid is its cell, which tells what a form is that could be several.
        cell = next((one for one in CELLS if "/".join(one) == row["group"]), None)
        own = {(one.start, one.end) for one in found if one[:3] == cell}
        readings = [one._asdict() for one in found if (one.start, one.end) not in own or one[:3] == cell]
        return {"text": row["text"], "group": row["group"], "readings": readings}

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``input_features`` (rows, bands, frames), ``decoder_input_ids`` and ``labels`` (rows, length)."""
        import torch

        clips = [self._in_a_room(row, one["samples"]) for row, one in zip(rows, self.clips(rows), strict=True)]
        features = self.listener.features(clips)
        if self.options.mask:
            for place, (row, clip) in enumerate(zip(rows, clips, strict=True)):
                if "draw" in row:
                    rng = np.random.default_rng(key(row, "mask"))
                    features[place] = mask(features[place], self.listener.frames(clip), rng)
        ids = [whisper.label_ids(self.config, self.listener.tokenizer, row["text"]) for row in rows]
        longest = max(map(len, ids)) - 1
        inputs = torch.full((len(rows), longest), self.config.pad_token_id)
        labels = torch.full((len(rows), longest), UNLABELLED)
        for place, (row, one) in enumerate(zip(rows, ids, strict=True)):
            inputs[place, : len(one) - 1] = torch.tensor(self._partly_replaced(row, one[:-1]))
            labels[place, : len(one) - 1] = torch.tensor(one[1:])
        return {"input_features": torch.from_numpy(features), "decoder_input_ids": inputs, "labels": labels}

    def taught(self, row: Row) -> str:
        """Return the transcript as the decoder is to write it."""
        labels = self.collate([row])["labels"][0]
        text: str = self.listener.tokenizer.decode(labels[labels != UNLABELLED])
        return text

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return the number of tokens that have a label."""
        return int((batch["labels"] != UNLABELLED).sum())

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the cross-entropy of the batch in nats, summed over its tokens and divided by ``num_items``."""
        from torch.nn import functional

        inputs = {name: batch[name] for name in ("input_features", "decoder_input_ids")}
        seen, labels = model(**inputs, use_cache=False), batch["labels"]
        logits = seen.logits.flatten(0, 1).float()
        loss = functional.cross_entropy(logits, labels.flatten(), ignore_index=UNLABELLED, reduction="sum")
        if self.options.ctc:
            inner = getattr(model, "module", model)  # distributed training wraps the model
            spelt = inner.get_output_embeddings()(seen.encoder_last_hidden_state)
            loss = (1 - self.options.ctc) * loss + self.options.ctc * ctc(spelt, labels, self.config.eos_token_id)
        return loss / num_items

    def after_step(self, model: Any) -> dict[str, float]:
        """Do nothing: any weights will do."""
        return {}

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[dict[str, Any]]:
        """Yield the text heard in each row."""
        iterator = iter(rows)
        while chunk := list(islice(iterator, AHEAD * batch_size)):
            for text in self.listener.transcribe(model, decode_rows(chunk), batch_size):
                yield {"prediction": text}

    def for_metrics(self, predictions: Sequence[Row]) -> list[str]:
        """Return the texts."""
        return [one["prediction"] for one in predictions]

    def notes(self, predictions: Sequence[Row]) -> dict[str, float]:
        """Note nothing."""
        return {}

    def wrong(self, predictions: Sequence[Row], references: Sequence[Row]) -> list[bool]:
        """Tell of each row whether a word is wrong, case and punctuation aside."""
        pairs = zip(predictions, references, strict=True)
        return [light(one["prediction"]) != light(reference["text"]) for one, reference in pairs]

    @staticmethod
    def to_stored(row: Row) -> bytes:
        """Return the clip as `predict` hears it: a WAV of 16 kHz in floats."""
        buffer = io.BytesIO()
        soundfile.write(buffer, decode(row["audio"]), RATE, format="WAV", subtype="FLOAT")
        return buffer.getvalue()

    @staticmethod
    def from_stored(stored: bytes) -> Row:
        """Return the row of a stored clip."""
        return {"id": "stored", "audio": {"bytes": stored, "path": None}, "text": "", "group": ""}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the clip as WAV."""
        (folder / "example.wav").write_bytes(Task.to_stored(row))
        return "example.wav"

    def snippet(self, model: str, example: str, recorded: Sequence[Row]) -> str:
        """Return the pipeline call that prints what the example says; longer sound goes through it in chunks."""
        seconds = self.listener.window // RATE
        return (
            "import soundfile\n"
            "from transformers import pipeline\n\n"
            f'model = "{model}"  # the folder that holds this card\n'
            f'listener = pipeline("{self.pipeline_tag}", model=model)\n'
            f'samples, rate = soundfile.read(f"{{model}}/{example}", dtype="float32")  # mono, 16 kHz\n'
            f'heard = listener({{"raw": samples, "sampling_rate": rate}}, chunk_length_s={seconds})\n'
            'print(heard["text"].strip())'
        )

    def snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the line that the snippet prints."""
        text: str = next(self.predict(model, [self.from_stored(recorded[0]["input"])], 1))["prediction"]
        return text

    def pipeline_arguments(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Ask for nothing special: what decoding needs lies in the saved generation settings."""
        return {}

    def from_pipeline(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """Return the text in the pipeline's answer."""
        return {"prediction": output["text"].strip()}

    def expected(self, model: Any, recorded: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the recorded texts."""
        return [{"prediction": row["prediction"]} for row in recorded]

    def answer(self, model: Any, predictions: Sequence[Row], texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the texts."""
        return [{"text": one["prediction"]} for one in predictions]

    def _partly_replaced(self, row: Row, ids: list[int]) -> list[int]:
        """Return the tokens of a row that is drawn for training with some of them replaced; others as they are."""
        if "draw" not in row or not self.options.replace:
            return ids
        end: int = self.config.eos_token_id  # the ids of text lie below it
        rng = np.random.default_rng(key(row, "replace"))
        others, chance = rng.integers(end, size=len(ids)), rng.random(len(ids))
        return [
            int(other) if one < end and dice < self.options.replace else one
            for one, other, dice in zip(ids, others, chance, strict=True)
        ]

    def _in_a_room(self, row: Row, clip: np.ndarray) -> np.ndarray:
        """Return a clip that is drawn for training as it sounds this epoch; others as they are."""
        rng = np.random.default_rng(key(row, "vary"))
        if "draw" not in row or rng.random() >= self.options.vary:
            return clip
        heard = vary(clip, rng)
        # Slowed down beyond the window it would lose the last of its words, and the transcript has them.
        return heard if len(heard) <= self.listener.window else clip
