"""Transcribe audio with a speech recognition model, one window at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.models.common.batch import to_model_device

SEARCH_FRACTION = 0.25  # the last part of a window, which is searched for a pause
PAUSE = SAMPLE_RATE // 20  # samples over which the loudness is averaged
FEATURE_BATCH_SIZE = 16  # clips whose spectra fit into the CPU cache; with 256 at once each takes twice as long


class Transcriber:
    """Computes log-mel features and decodes transcripts with the processor of a checkpoint."""

    def __init__(self, processor: Any) -> None:
        self.extractor, self.tokenizer = processor.feature_extractor, processor.tokenizer
        self.window: int = self.extractor.n_samples

    def features(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Return the log-mel features `(num_clips, num_mel_bins, num_frames)` of clips, padded to the window."""
        import torch

        chunks = [list(clips[start : start + FEATURE_BATCH_SIZE]) for start in range(0, len(clips), FEATURE_BATCH_SIZE)]
        # The features must not depend on the dtype in which the model computes.
        with torch.autocast("cpu", enabled=False):
            outputs = [self.extractor(chunk, sampling_rate=SAMPLE_RATE, return_tensors="np") for chunk in chunks]
        return np.concatenate([output["input_features"] for output in outputs])

    def frames(self, clip: np.ndarray) -> int:
        """Return how many of the frames of `features` belong to the clip, not to its padding."""
        return min(1 + len(clip) // int(self.extractor.hop_length), int(self.extractor.nb_max_frames))

    def transcribe(self, model: Any, clips: Sequence[np.ndarray], batch_size: int) -> Iterator[str]:
        """Yield the transcript of each clip. A clip longer than the window is split at pauses."""
        pieces_by_clip = [list(split_at_pauses(clip, self.window)) for clip in clips]
        all_pieces = [piece for pieces in pieces_by_clip for piece in pieces]
        texts = iter(self._transcribe_pieces(model, all_pieces, batch_size))
        for pieces in pieces_by_clip:
            yield " ".join(text for text in islice(texts, len(pieces)) if text)

    def _transcribe_pieces(self, model: Any, pieces: Sequence[np.ndarray], batch_size: int) -> list[str]:
        """Return the transcript of each piece.

        Pieces of similar length share a batch, because its decoding ends with the longest transcript.
        """
        import torch

        order = sorted(range(len(pieces)), key=lambda index: len(pieces[index]))
        texts = [""] * len(pieces)
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            features = torch.from_numpy(self.features([pieces[index] for index in indices]))
            with torch.inference_mode():
                ids = model.generate(**to_model_device({"input_features": features}, model))
            for index, text in zip(indices, self.tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
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
