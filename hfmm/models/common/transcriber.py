"""The contract of speech recognition models: their inputs, their labels, their loss and their transcripts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from hfmm.data.common.audio import SAMPLE_RATE

SEARCH_FRACTION = 0.25  # the last part of a window, which is searched for a pause
PAUSE = SAMPLE_RATE // 20  # samples over which the loudness is averaged


class Transcriber(ABC):
    """What a speech recognition model is given, what it is trained on, and how its outputs become text.

    `speech_recognition` asks the family of its model for one: ``family.make_transcriber(config, processor)``.

    Args:
        config: The config of the model.
        processor: The processor of the model.
    """

    window: int
    """The most samples that go through the model at a time."""
    ignores_padding: bool = True
    """A clip has the same transcript in every batch."""
    has_decoder: bool = True
    """The model writes the transcript with a decoder, which reads its own tokens."""

    def __init__(self, config: Any, processor: Any) -> None:
        self.config, self.extractor, self.tokenizer = config, processor.feature_extractor, processor.tokenizer

    @abstractmethod
    def check(self, num_samples: int, text: str) -> None:
        """Raise UserError for a clip or a transcript that the model cannot train on."""

    @abstractmethod
    def inputs(self, clips: Sequence[np.ndarray]) -> dict[str, Any]:
        """Return the inputs of the model for clips of audio, as tensors."""

    @abstractmethod
    def spectra(self, inputs: Mapping[str, Any], clips: Sequence[np.ndarray]) -> list[tuple[np.ndarray, int]]:
        """Return the spectrogram of each clip in ``inputs``, and how many of its frames are not padding.

        The spectrograms `(num_mel_bins, num_frames)` are views: what is written to them is what the model is given. The
        list is empty for a model of waveforms.
        """

    @abstractmethod
    def targets(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return ``labels`` `(batch_size, sequence_length)` and what else the loss needs, as tensors."""

    @abstractmethod
    def loss(self, model: Any, batch: Mapping[str, Any], ctc_weight: float) -> Any:
        """Return the loss of a batch in nats, summed; ``ctc_weight`` is only for a model with a decoder."""

    @abstractmethod
    def decode_labels(self, labels: Any) -> str:
        """Return what the model learns to write, from the labels of a row without their padding."""

    @abstractmethod
    def pipeline_arguments(self) -> dict[str, Any]:
        """Return the arguments with which `transformers.pipeline` transcribes audio longer than the window."""

    @abstractmethod
    def transcribe_batch(self, model: Any, clips: Sequence[np.ndarray]) -> list[str]:
        """Return the transcripts of clips that fit into the window."""

    def transcribe(self, model: Any, clips: Sequence[np.ndarray], batch_size: int) -> Iterator[str]:
        """Yield the transcript of each clip. A clip longer than the window is split at pauses."""
        pieces_by_clip = [list(split_at_pauses(clip, self.window)) for clip in clips]
        all_pieces = [piece for pieces in pieces_by_clip for piece in pieces]
        texts = iter(self._transcribe_pieces(model, all_pieces, batch_size if self.ignores_padding else 1))
        for pieces in pieces_by_clip:
            yield " ".join(text for text in islice(texts, len(pieces)) if text)

    def _transcribe_pieces(self, model: Any, pieces: Sequence[np.ndarray], batch_size: int) -> list[str]:
        """Return the transcript of each piece.

        Pieces of similar length share a batch, because its decoding ends with the longest transcript.
        """
        order = sorted(range(len(pieces)), key=lambda index: len(pieces[index]))
        texts = [""] * len(pieces)
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            for index, text in zip(
                indices, self.transcribe_batch(model, [pieces[index] for index in indices]), strict=True
            ):
                texts[index] = text.strip()
        return texts


def split_at_pauses(clip: np.ndarray, max_length: int) -> Iterator[np.ndarray]:
    """Yield a clip in pieces of at most ``max_length`` samples, each cut at the quietest point of its last quarter."""
    while len(clip) > max_length:
        search_start = int(max_length * (1 - SEARCH_FRACTION))
        loudness = np.convolve(np.square(clip[search_start:max_length]), np.ones(PAUSE), "same")
        end = search_start + int(loudness.argmin())
        yield clip[:end]
        clip = clip[end:]
    yield clip
