"""Speech recognition: a clip of speech becomes its transcript."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Features
from pydantic import Field

from hfmm.data.common.audio import decode, decode_rows
from hfmm.data.common.audio_augment import augment
from hfmm.data.common.rows import Row, iter_batches
from hfmm.errors import UserError
from hfmm.metrics._edit_rates import normalize_words
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.transcriber import Transcriber
from hfmm.recipe.validation import StrictModel
from hfmm.tasks.base import IGNORE_INDEX, BaseTask, Prediction
from hfmm.tasks.common.inputs import AudioInput
from hfmm.tasks.common.row_cache import RowCache
from hfmm.tasks.common.row_rng import row_seed
from hfmm.tasks.common.spec_augment import spec_augment

SORT_WINDOW_BATCHES = 4  # batches whose clips are sorted by length before they are transcribed


class SpeechRecognitionTask(BaseTask):
    """Cross-entropy over the tokens of the transcript, or the CTC loss over its letters, as the model family says.

    Each token of a step has the same weight.

    While training, a clip gets another speed, pitch, room and noise in each epoch, and parts of its spectrum are masked
    (SpecAugment, arXiv:1904.08779).

    With ``ctc_weight`` the encoder is also trained with CTC, through the output layer of the decoder. A decoder that
    starts from random weights then learns its cross-attention much sooner (Kim et al. 2017, arXiv:1609.06773).

    With ``decoder_noise`` some of the decoder's input tokens are random. The decoder can then not continue from its own
    text alone and has to attend to the audio.
    """

    auto_classes = ("AutoModelForSpeechSeq2Seq", "AutoModelForCTC")
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
        self.transcriber: Transcriber = self.family.make_transcriber(config, processor)
        self.clips = RowCache(lambda rows: [{"samples": clip} for clip in decode_rows(rows)], "audio")
        if not self.transcriber.has_decoder:
            for name in ("decoder_noise", "ctc_weight"):
                if getattr(options, name):
                    raise UserError(
                        f"task.{name}: a {config.model_type!r} model is trained with CTC alone and has no decoder. "
                        "Remove the key."
                    )

    @classmethod
    def make_row_validator(cls, family: Any, config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return a function that raises UserError for a clip or a transcript that is empty or too long."""
        transcriber = family.make_transcriber(config, processor)

        def validate(row: Row) -> None:
            num_samples = len(decode(row["audio"]))
            if not isinstance(row["text"], str) or not row["text"].strip():
                raise UserError("its transcript is empty")
            transcriber.check(num_samples, row["text"])

        return validate

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the inputs of the model and ``labels`` `(batch_size, sequence_length)`.

        The inputs are ``input_features`` `(batch_size, num_mel_bins, num_frames)` and ``decoder_input_ids`` for
        Whisper, and the outputs of the feature extractor for a CTC model.
        """
        cached = self.clips(rows)
        clips = [self._augment_clip(row, arrays["samples"]) for row, arrays in zip(rows, cached, strict=True)]
        inputs = self.transcriber.inputs(clips)
        if self.options.spec_augment:
            for row, (spectrum, frames) in zip(rows, self.transcriber.spectra(inputs, clips), strict=False):
                if "draw" in row:
                    spectrum[:] = spec_augment(spectrum, frames, np.random.default_rng(row_seed(row, "mask")))
        targets = self.transcriber.targets([row["text"] for row in rows])
        if self.options.decoder_noise:
            self._corrupt_decoder_inputs(rows, targets)
        return inputs | targets

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the loss in nats, summed over the batch and divided by ``num_items`` tokens."""
        return self.transcriber.loss(model, batch, self.options.ctc_weight) / num_items

    def describe_labels(self, row: Row) -> str:
        """Return the transcript in the tokens that the model learns."""
        labels = self.collate([row])["labels"][0]
        return self.transcriber.decode_labels(labels[labels != IGNORE_INDEX])

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
        """Return the call that prints the transcript of the example. Whisper takes longer audio in chunks."""
        arguments = "".join(f", {name}={value}" for name, value in self.transcriber.pipeline_arguments().items())
        return (
            f'samples, rate = soundfile.read(f"{{model}}/{example}", dtype="float32")  # mono, 16 kHz\n'
            f'output = pipe({{"raw": samples, "sampling_rate": rate}}{arguments})\n'
            'print(output["text"].strip())'
        )

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Return a batch size of 1 for a CTC model: the pipeline would also decode the padding of a batch."""
        return {} if self.transcriber.has_decoder else {"batch_size": 1}

    def parse_pipeline_output(self, output: Mapping[str, Any]) -> Prediction:
        """Return the transcript that the pipeline returned."""
        return {"prediction": output["text"].strip()}

    def format_predictions(
        self, model: Any, predictions: Sequence[Prediction], texts: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return the transcripts."""
        return [{"text": prediction["prediction"]} for prediction in predictions]

    def _corrupt_decoder_inputs(self, rows: Sequence[Row], targets: Mapping[str, Any]) -> None:
        """Replace some of the decoder input tokens of training rows by random ones."""
        import torch

        end: int = self.config.eos_token_id  # text tokens have smaller ids
        lengths = (targets["labels"] != IGNORE_INDEX).sum(-1).tolist()
        for row, inputs, length in zip(rows, targets["decoder_input_ids"], lengths, strict=True):
            if "draw" in row:
                rng = np.random.default_rng(row_seed(row, "replace"))
                random_ids = torch.from_numpy(rng.integers(end, size=length))
                is_replaced = torch.from_numpy(rng.random(length)) < self.options.decoder_noise
                ids = inputs[:length]
                inputs[:length] = torch.where((ids < end) & is_replaced, random_ids, ids)

    def _augment_clip(self, row: Row, clip: np.ndarray) -> np.ndarray:
        """Return the clip of a training row as it is augmented in this epoch."""
        rng = np.random.default_rng(row_seed(row, "vary"))
        if "draw" not in row or rng.random() >= self.options.augment_prob:
            return clip
        augmented = augment(clip, rng)
        # A clip slowed down beyond the window would lose its last words, which the transcript has.
        return augmented if len(augmented) <= self.transcriber.window else clip


TASK = SpeechRecognitionTask
