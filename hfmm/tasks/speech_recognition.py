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

from hfmm.data.common.audio import SAMPLE_RATE, decode, decode_rows
from hfmm.data.common.audio_augment import augment
from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.grammar import CELLS, parse
from hfmm.metrics._edit_rates import normalize_words
from hfmm.models import whisper
from hfmm.recipe.validation import StrictModel
from hfmm.tasks import IGNORE_INDEX
from hfmm.tasks.common.losses import ctc_loss
from hfmm.tasks.common.row_cache import RowCache
from hfmm.tasks.common.row_rng import row_seed
from hfmm.tasks.common.spec_augment import spec_augment
from hfmm.tasks.common.transcriber import Transcriber

SORT_WINDOW_BATCHES = 4  # batches whose clips are sorted by length before they are heard


class SpeechRecognitionTask:
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
    modality = "audio"
    required_columns = ("id", "audio", "text", "group")
    target_columns = ("text", "group")
    random_per_epoch = True
    uses_in_batch_negatives = False
    outputs_scores = False
    accepts_cached_features = False
    example_prompts: tuple[str, ...] = ()
    num_grad_cache_chunks = 1

    class Options(StrictModel):
        """What `task: {name: speech_recognition}` takes."""

        augment_prob: float = Field(
            0.5, ge=0, le=1, description="share of the clips that are heard in another voice and room"
        )
        spec_augment: bool = Field(True, description="SpecAugment")
        decoder_noise: float = Field(
            0, ge=0, le=1, description="share of the decoder's input tokens that are random ones"
        )
        ctc_weight: float = Field(
            0, ge=0, le=1, description="share of the loss by which the encoder has to spell by itself"
        )

    def __init__(self, config: Any, processor: Any, options: Options) -> None:
        self.config, self.options, self.listener = config, options, Transcriber(processor)
        self.clips = RowCache(lambda rows: [{"samples": clip} for clip in decode_rows(rows)], "audio")

    @staticmethod
    def make_row_validator(config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return what raises UserError for a clip that cannot be heard whole and for a transcript empty or too long."""
        listener = Transcriber(processor)
        longest, room = listener.window / SAMPLE_RATE, whisper.max_label_tokens(config, processor)

        def check(row: Row) -> None:
            seconds = len(decode(row["audio"])) / SAMPLE_RATE
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

        clips = [self._augment_clip(row, one["samples"]) for row, one in zip(rows, self.clips(rows), strict=True)]
        features = self.listener.features(clips)
        if self.options.spec_augment:
            for place, (row, clip) in enumerate(zip(rows, clips, strict=True)):
                if "draw" in row:
                    rng = np.random.default_rng(row_seed(row, "mask"))
                    features[place] = spec_augment(features[place], self.listener.frames(clip), rng)
        ids = [whisper.label_ids(self.config, self.listener.tokenizer, row["text"]) for row in rows]
        longest = max(map(len, ids)) - 1
        inputs = torch.full((len(rows), longest), self.config.pad_token_id)
        labels = torch.full((len(rows), longest), IGNORE_INDEX)
        for place, (row, one) in enumerate(zip(rows, ids, strict=True)):
            inputs[place, : len(one) - 1] = torch.tensor(self._corrupt_decoder_inputs(row, one[:-1]))
            labels[place, : len(one) - 1] = torch.tensor(one[1:])
        return {"input_features": torch.from_numpy(features), "decoder_input_ids": inputs, "labels": labels}

    def describe_labels(self, row: Row) -> str:
        """Return the transcript as the decoder is to write it."""
        labels = self.collate([row])["labels"][0]
        text: str = self.listener.tokenizer.decode(labels[labels != IGNORE_INDEX])
        return text

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return the number of tokens that have a label."""
        return int((batch["labels"] != IGNORE_INDEX).sum())

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the cross-entropy of the batch in nats, summed over its tokens and divided by ``num_items``."""
        from torch.nn import functional

        inputs = {name: batch[name] for name in ("input_features", "decoder_input_ids")}
        seen, labels = model(**inputs, use_cache=False), batch["labels"]
        logits = seen.logits.flatten(0, 1).float()
        loss = functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")
        if self.options.ctc_weight:
            inner = getattr(model, "module", model)  # distributed training wraps the model
            spelt = inner.get_output_embeddings()(seen.encoder_last_hidden_state)
            loss = (1 - self.options.ctc_weight) * loss + self.options.ctc_weight * ctc_loss(
                spelt, labels, self.config.eos_token_id
            )
        return loss / num_items

    def on_step_end(self, model: Any) -> dict[str, float]:
        """Do nothing: any weights will do."""
        return {}

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[dict[str, Any]]:
        """Yield the text heard in each row."""
        iterator = iter(rows)
        while chunk := list(islice(iterator, SORT_WINDOW_BATCHES * batch_size)):
            for text in self.listener.transcribe(model, decode_rows(chunk), batch_size):
                yield {"prediction": text}

    def metric_inputs(self, predictions: Sequence[Row]) -> list[str]:
        """Return the texts."""
        return [one["prediction"] for one in predictions]

    def extra_logs(self, predictions: Sequence[Row]) -> dict[str, float]:
        """Note nothing."""
        return {}

    def is_wrong(self, predictions: Sequence[Row], references: Sequence[Row]) -> list[bool]:
        """Tell of each row whether a word is wrong, case and punctuation aside."""
        pairs = zip(predictions, references, strict=True)
        return [normalize_words(one["prediction"]) != normalize_words(reference["text"]) for one, reference in pairs]

    @staticmethod
    def input_to_bytes(row: Row) -> bytes:
        """Return the clip as `predict` hears it: a WAV of 16 kHz in floats."""
        buffer = io.BytesIO()
        soundfile.write(buffer, decode(row["audio"]), SAMPLE_RATE, format="WAV", subtype="FLOAT")
        return buffer.getvalue()

    @staticmethod
    def input_from_bytes(stored: bytes) -> Row:
        """Return the row of a stored clip."""
        return {"id": "stored", "audio": {"bytes": stored, "path": None}, "text": "", "group": ""}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the clip as WAV."""
        (folder / "example.wav").write_bytes(SpeechRecognitionTask.input_to_bytes(row))
        return "example.wav"

    def usage_snippet(self, model: str, example: str, recorded: Sequence[Row]) -> str:
        """Return the pipeline call that prints what the example says; longer sound goes through it in chunks."""
        seconds = self.listener.window // SAMPLE_RATE
        return (
            "import soundfile\n"
            "from transformers import pipeline\n\n"
            f'model = "{model}"  # the folder that holds this card\n'
            f'listener = pipeline("{self.pipeline_tag}", model=model)\n'
            f'samples, rate = soundfile.read(f"{{model}}/{example}", dtype="float32")  # mono, 16 kHz\n'
            f'heard = listener({{"raw": samples, "sampling_rate": rate}}, chunk_length_s={seconds})\n'
            'print(heard["text"].strip())'
        )

    def expected_snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the line that the snippet prints."""
        text: str = next(self.predict(model, [self.input_from_bytes(recorded[0]["input"])], 1))["prediction"]
        return text

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Ask for nothing special: what decoding needs lies in the saved generation settings."""
        return {}

    def parse_pipeline_output(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """Return the text in the pipeline's answer."""
        return {"prediction": output["text"].strip()}

    def expected_pipeline_output(self, model: Any, recorded: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the recorded texts."""
        return [{"prediction": row["prediction"]} for row in recorded]

    def format_predictions(self, model: Any, predictions: Sequence[Row], texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the texts."""
        return [{"text": one["prediction"]} for one in predictions]

    def _corrupt_decoder_inputs(self, row: Row, ids: list[int]) -> list[int]:
        """Return the tokens of a row that is drawn for training with some of them replaced; others as they are."""
        if "draw" not in row or not self.options.decoder_noise:
            return ids
        end: int = self.config.eos_token_id  # the ids of text lie below it
        rng = np.random.default_rng(row_seed(row, "replace"))
        others, chance = rng.integers(end, size=len(ids)), rng.random(len(ids))
        return [
            int(other) if one < end and dice < self.options.decoder_noise else one
            for one, other, dice in zip(ids, others, chance, strict=True)
        ]

    def _augment_clip(self, row: Row, clip: np.ndarray) -> np.ndarray:
        """Return a clip that is drawn for training as it sounds this epoch; others as they are."""
        rng = np.random.default_rng(row_seed(row, "vary"))
        if "draw" not in row or rng.random() >= self.options.augment_prob:
            return clip
        heard = augment(clip, rng)
        # Slowed down beyond the window it would lose the last of its words, and the transcript has them.
        return heard if len(heard) <= self.listener.window else clip


TASK = SpeechRecognitionTask
