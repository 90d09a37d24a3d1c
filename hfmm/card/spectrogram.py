"""An image of an audio clip: its waveform above its log-mel spectrogram."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from hfmm.data.common.audio import SAMPLE_RATE

MELS, WINDOW, STEP = 80, 400, 160  # as in Whisper: windows of 25 ms every 10 ms
RANGE = 80.0  # decibels below the maximum that are drawn black


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return the log-mel spectrogram of 16 kHz samples in decibels below its maximum, (num_mel_bins, num_frames)."""
    from transformers.audio_utils import mel_filter_bank, spectrogram

    filters = mel_filter_bank(
        1 + WINDOW // 2, MELS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    power = spectrogram(samples, np.hanning(WINDOW + 1)[:-1], WINDOW, STEP, power=2.0, mel_filters=filters)
    decibels: np.ndarray = 10 * np.log10(np.maximum(power, 1e-10))
    relative: np.ndarray = decibels - decibels.max()
    return relative.clip(-RANGE)


def draw_waveform_and_mel(samples: np.ndarray, width: int, height: int) -> Pillow.Image:
    """Return the waveform above the log-mel spectrogram. The whole clip fits into the width."""
    from matplotlib import colormaps

    top = height // 3
    bands = colormaps["magma"](log_mel(samples)[::-1] / RANGE + 1)[..., :3]
    mel = Pillow.fromarray((bands * 255).astype(np.uint8)).resize((width, height - top), Pillow.Resampling.BILINEAR)
    image = Pillow.new("RGB", (width, height), "white")
    image.paste(mel, (0, top))
    image.paste(_waveform(samples, width, top), (0, 0))
    return image


def _waveform(samples: np.ndarray, width: int, height: int) -> Pillow.Image:
    """Return the waveform. Each column of pixels spans the minimum to the maximum of its samples."""
    columns = np.array_split(samples / np.abs(samples).max(), width)
    middle, rows = (height - 1) / 2, np.arange(height)[:, None]
    high = np.array([middle - middle * column.max() for column in columns])
    low = np.array([middle - middle * column.min() for column in columns])
    inked = (rows >= np.floor(high)) & (rows <= np.ceil(low))
    return Pillow.fromarray(np.where(inked[..., None], (30, 70, 140), (255, 255, 255)).astype(np.uint8))
