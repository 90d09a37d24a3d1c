"""Speech recognition: a clip of speech becomes its transcript."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Features
from pydantic import Field

from hfmm.data.common.audio import SAMPLE_RATE, decode, decode_rows
from hfmm.data.common.audio_augment import augment
from hfmm.data.common.rows import Row, iter_batches
from hfmm.errors import UserError
from hfmm.metrics._edit_rates import normalize_words
from hfmm.models.common.batch import unwrap_model
from hfmm.models.common.family import ModelFamily
from hfmm.recipe.validation import StrictModel
from hfmm.tasks.base import IGNORE_INDEX, BaseTask, Prediction
from hfmm.tasks.common.inputs import AudioInput
from hfmm.tasks.common.losses import ctc_loss
from hfmm.tasks.common.row_cache import RowCache
from hfmm.tasks.common.row_rng import row_seed
from hfmm.tasks.common.spec_augment import spec_augment
from hfmm.tasks.common.transcriber import Transcriber

SORT_WINDOW_BATCHES = 4  # batches whose clips are sorted by length before they are transcribed


class SpeechRecognitionTask(BaseTask):
    """Cross-entropy over the tokens of the transcript. Each token of a step has the same weight.

    While training, a clip gets another speed, pitch, room and noise in each epoch, and parts of its spectrum are masked
    (SpecAugment, arXiv:1904.08779).

    With ``ctc_weight`` the encoder is also trained with CTC, through the output layer of the decoder. A decoder that
    starts from random weights then learns its cross-attention much sooner (Kim et al. 2017, arXiv:1609.06773).

    With ``decoder_noise`` some of the decoder's input tokens are random. The decoder can then not continue from its own
    text alone and has to attend to the audio.
    """

    auto_classes = ("AutoModelForSpeechSeq2Seq",)
    pipeline_tag = "automatic-speech-recognition"
    required_columns = ("id", "audio", "text", "group")
    target_columns = ("text",)
    input = AudioInput
    default_metrics = ("wer", "cer")
    random_per_epoch = True
    snippet_imports = ("import soundfile",)

    class Options(StrictModel):
        """What `task: {name: speech_recognition}` takes."""

        augment_prob: float = Field(0.5, ge=0, le=1, description="probability that a clip is augmented")
        spec_augment: bool = Field(True, description="mask parts of the spectrum (SpecAugment)")
        decoder_noise: float = Field(0, ge=0, le=1, description="probability that a decoder input token is random")
        ctc_weight: float = Field(0, ge=0, le=1, description="weight of the CTC loss of the encoder in the whole loss")

    def __init__(self, config: Any, processor: Any, options: Options, family: ModelFamily | None = None) -> None:
        super().__init__(config, processor, options, family)
        self.transcriber = Transcriber(processor)
        self.clips = RowCache(lambda rows: [{"samples": clip} for clip in decode_rows(rows)], "audio")

    @classmethod
    def make_row_validator(cls, family: Any, config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return a function that raises UserError for a clip or a transcript that is empty or too long."""
        transcriber = Transcriber(processor)
        max_seconds, max_tokens = transcriber.window / SAMPLE_RATE, family.max_label_tokens(config, processor)

        def validate(row: Row) -> None:
            seconds = len(decode(row["audio"])) / SAMPLE_RATE
            if seconds > max_seconds:
                raise UserError(
                    f"the clip lasts {seconds:.1f} s, and the model reads {max_seconds:g} s at a time: cut it, or "
                    "increase model.window_seconds"
                )
            if not isinstance(row["text"], str) or not row["text"].strip():
                raise UserError("its transcript is empty")
            count = len(family.label_ids(config, transcriber.tokenizer, row["text"]))
            if count > max_tokens:
                raise UserError(
                    f"the transcript {row['text'][:40]!r} has {count} tokens, and a window of {max_seconds:g} s has "
                    f"room for {max_tokens}: cut the clip and its transcript"
                )

        return validate

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``input_features`` `(batch_size, num_mel_bins, num_frames)`, ``decoder_input_ids`` and ``labels``.

        The last two are `(batch_size, sequence_length)`.
        """
        import torch

        cached = self.clips(rows)
        clips = [self._augment_clip(row, arrays["samples"]) for row, arrays in zip(rows, cached, strict=True)]
        features = self.transcriber.features(clips)
        if self.options.spec_augment:
            for index, (row, clip) in enumerate(zip(rows, clips, strict=True)):
                if "draw" in row:
                    rng = np.random.default_rng(row_seed(row, "mask"))
                    features[index] = spec_augment(features[index], self.transcriber.frames(clip), rng)
        label_ids = [self.family.label_ids(self.config, self.transcriber.tokenizer, row["text"]) for row in rows]
        length = max(map(len, label_ids)) - 1
        inputs = torch.full((len(rows), length), self.config.pad_token_id)
        labels = torch.full((len(rows), length), IGNORE_INDEX)
        for index, (row, ids) in enumerate(zip(rows, label_ids, strict=True)):
            inputs[index, : len(ids) - 1] = torch.tensor(self._corrupt_decoder_inputs(row, ids[:-1]))
            labels[index, : len(ids) - 1] = torch.tensor(ids[1:])
        return {"input_features": torch.from_numpy(features), "decoder_input_ids": inputs, "labels": labels}

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the cross-entropy in nats, summed over the tokens of the batch and divided by ``num_items``."""
        from torch.nn import functional

        inputs = {name: batch[name] for name in ("input_features", "decoder_input_ids")}
        output, labels = model(**inputs, use_cache=False), batch["labels"]
        logits = output.logits.flatten(0, 1).float()
        loss = functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")
        if weight := self.options.ctc_weight:
            encoder_logits = unwrap_model(model).get_output_embeddings()(output.encoder_last_hidden_state)
            loss = (1 - weight) * loss + weight * ctc_loss(encoder_logits, labels, self.config.eos_token_id)
        return loss / num_items

    def describe_labels(self, row: Row) -> str:
        """Return the transcript with the special tokens that the decoder learns."""
        labels = self.collate([row])["labels"][0]
        text: str = self.transcriber.tokenizer.decode(labels[labels != IGNORE_INDEX])
        return text

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[Prediction]:
        """Yield the transcript of each row."""
        for batch in iter_batches(rows, SORT_WINDOW_BATCHES * batch_size):
            for text in self.transcriber.transcribe(model, decode_rows(batch), batch_size):
                yield {"prediction": text}

    def reference(self, row: Row) -> dict[str, Any]:
        """Return the transcript of a row."""
        return {"text": row["text"]}

    def mark_wrong(self, predictions: Sequence[Prediction], references: Sequence[Row]) -> list[bool]:
        """Return for each row whether a word is wrong, ignoring case and punctuation."""
        return [
            normalize_words(prediction["prediction"]) != normalize_words(reference["text"])
            for prediction, reference in zip(predictions, references, strict=True)
        ]

    def pipeline_call(self, example: str, recorded: Sequence[Row]) -> str:
        """Return the call that prints the transcript of the example. Longer audio goes through it in chunks."""
        seconds = self.transcriber.window // SAMPLE_RATE
        return (
            f'samples, rate = soundfile.read(f"{{model}}/{example}", dtype="float32")  # mono, 16 kHz\n'
            f'output = pipe({{"raw": samples, "sampling_rate": rate}}, chunk_length_s={seconds})\n'
            'print(output["text"].strip())'
        )

    def parse_pipeline_output(self, output: Mapping[str, Any]) -> Prediction:
        """Return the transcript that the pipeline returned."""
        return {"prediction": output["text"].strip()}

    def format_predictions(
        self, model: Any, predictions: Sequence[Prediction], texts: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return the transcripts."""
        return [{"text": prediction["prediction"]} for prediction in predictions]

    def _corrupt_decoder_inputs(self, row: Row, ids: list[int]) -> list[int]:
        """Return the decoder input tokens of a training row, some of them replaced by random ones."""
        if "draw" not in row or not self.options.decoder_noise:
            return ids
        end: int = self.config.eos_token_id  # text tokens have smaller ids
        rng = np.random.default_rng(row_seed(row, "replace"))
        random_ids, chance = rng.integers(end, size=len(ids)), rng.random(len(ids))
        return [
            int(random_id) if token < end and draw < self.options.decoder_noise else token
            for token, random_id, draw in zip(ids, random_ids, chance, strict=True)
        ]

    def _augment_clip(self, row: Row, clip: np.ndarray) -> np.ndarray:
        """Return the clip of a training row as it is augmented in this epoch."""
        rng = np.random.default_rng(row_seed(row, "vary"))
        if "draw" not in row or rng.random() >= self.options.augment_prob:
            return clip
        augmented = augment(clip, rng)
        # A clip slowed down beyond the window would lose its last words, which the transcript has.
        return augmented if len(augmented) <= self.transcriber.window else clip


TASK = SpeechRecognitionTask
