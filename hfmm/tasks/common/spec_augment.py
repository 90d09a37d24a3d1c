"""SpecAugment: mask random time spans and frequency bands during training."""

from __future__ import annotations

import numpy as np

TIME_MASKS, LONGEST = 2, 25  # frames of 10 ms
BAND_MASKS, WIDEST = 2, 12  # mel bands


def spec_augment(features: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return log-mel features `(num_mel_bins, num_frames)` with random masks in their first ``frames`` frames.

    Masked values become the mean of the clip, after Park et al. 2019 (arXiv:1904.08779).
    """
    masked = features.copy()
    mean = features[:, :frames].mean()
    for _ in range(TIME_MASKS):
        length = int(rng.integers(min(LONGEST, frames // 4) + 1))
        start = int(rng.integers(frames - length + 1))
        masked[:, start : start + length] = mean
    for _ in range(BAND_MASKS):
        width = int(rng.integers(WIDEST + 1))
        start = int(rng.integers(len(features) - width + 1))
        masked[start : start + width] = mean
    return masked
