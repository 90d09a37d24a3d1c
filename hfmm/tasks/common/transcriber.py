"""Samples -> log-mel frames -> text: what a speech recogniser hears, one window at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.models.common.batch import to_model_device

SEARCH_FRACTION = 0.25  # the last share of a window in which a pause is looked for
PAUSE = SAMPLE_RATE // 20  # samples over which loudness is averaged
FEATURE_BATCH_SIZE = 16  # clips whose spectra stay in the processor's cache; of 256 at once each takes twice as long


class Transcriber:
    """A checkpoint's processor and its window."""

    def __init__(self, processor: Any) -> None:
        self.extractor, self.tokenizer = processor.feature_extractor, processor.tokenizer
        self.window: int = self.extractor.n_samples

    def features(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Return the log-mel features (clips, bands, frames) of clips that fit the window, silence added."""
        import torch

        pieces = [list(clips[at : at + FEATURE_BATCH_SIZE]) for at in range(0, len(clips), FEATURE_BATCH_SIZE)]
        # What a model hears is the same whatever it computes in.
        with torch.autocast("cpu", enabled=False):
            found = [self.extractor(piece, sampling_rate=SAMPLE_RATE, return_tensors="np") for piece in pieces]
        return np.concatenate([one["input_features"] for one in found])

    def frames(self, clip: np.ndarray) -> int:
        """Return how many of the frames of `features` a clip fills."""
        return min(1 + len(clip) // int(self.extractor.hop_length), int(self.extractor.nb_max_frames))

    def transcribe(self, model: Any, clips: Sequence[np.ndarray], batch_size: int) -> Iterator[str]:
        """Yield the text of each clip; one longer than the window is cut at pauses and heard piece by piece."""
        cut = [list(split_at_pauses(clip, self.window)) for clip in clips]
        said = iter(self._transcribe_pieces(model, [piece for pieces in cut for piece in pieces], batch_size))
        for pieces in cut:
            yield " ".join(text for text in islice(said, len(pieces)) if text)

    def _transcribe_pieces(self, model: Any, pieces: Sequence[np.ndarray], batch_size: int) -> list[str]:
        """Return the text of each piece; those of like length make a batch, which goes on until its last has ended."""
        import torch

        order = sorted(range(len(pieces)), key=lambda place: len(pieces[place]))
        said = [""] * len(pieces)
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            features = torch.from_numpy(self.features([pieces[place] for place in places]))
            with torch.inference_mode():
                ids = model.generate(**to_model_device({"input_features": features}, model))
            for place, text in zip(places, self.tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
                said[place] = text.strip()
        return said


def split_at_pauses(clip: np.ndarray, longest: int) -> Iterator[np.ndarray]:
    """Yield a clip in pieces of at most ``longest`` samples, each cut where its last quarter is quietest."""
    while len(clip) > longest:
        first = int(longest * (1 - SEARCH_FRACTION))
        loudness = np.convolve(np.square(clip[first:longest]), np.ones(PAUSE), "same")
        end = first + int(loudness.argmin())
        yield clip[:end]
        clip = clip[end:]
    yield clip
