"""Decode and encode the audio values of rows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from datasets import Audio, Value

from hfmm.data.common.media import read_media
from hfmm.errors import UserError

SAMPLE_RATE = 16_000  # samples per second, the rate of speech models
SILENCE_THRESHOLD = 1e-4  # peak-to-peak, full scale is 1: about -80 dB, below the noise of a quiet room
MAX_AMPLITUDE = 8.0  # full scale is 1: decoders and loud masters exceed it slightly, integer-scale samples by far
BIT_RATE = 12_000  # of Opus: wideband speech that is recognized as well as PCM, at a tenth of the bytes

# `datasets` encodes rows of its Audio feature with torchcodec only. Rows are therefore written as this plain struct,
# the Arrow storage of Audio, and the finished column is cast.
AUDIO_STRUCT = {"bytes": Value("binary"), "path": Value("string")}
AUDIO_FEATURE = Audio(sampling_rate=SAMPLE_RATE, decode=False)

# A length of 0, or of this value or more, in a WAV header means that the writer did not know the length: espeak and SoX
# write this value into a pipe, ffmpeg writes 0xFFFFFFFF.
_MIN_UNKNOWN_LENGTH = 0x7FFFF000


def decode(value: Any) -> np.ndarray:
    """Return mono float32 samples at 16 kHz with full scale -1 to 1, from ``{"bytes", "path"}`` or a path.

    Reads WAV, FLAC, Ogg, Opus and MP3 at any sampling rate. Channels are averaged. Raises UserError for a file that
    is missing, empty, truncated, not audio, silent or far beyond full scale, or that contains NaN or infinity.
    """
    name, data = read_media(value, "clip")
    if _is_truncated(data):
        raise UserError(f"{name} is truncated: its end is missing.")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            num_frames, rate = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        if error.code == 1:
            raise UserError(f"{name} is not audio that libsndfile can read. Use WAV, FLAC, Ogg, Opus or MP3.") from None
        raise UserError(f"{name} is damaged: {error.error_string.rstrip('.')}.") from None
    if not channels.size:
        raise UserError(f"{name} is empty (zero samples).")
    if len(channels) < num_frames:
        raise UserError(f"{name} is truncated: it contains {len(channels):,} of {num_frames:,} samples.")
    samples = channels.mean(axis=1)
    if not np.isfinite(samples).all():
        raise UserError(f"{name} contains samples that are not finite (NaN or infinity).")
    if (peak := np.abs(samples).max()) > MAX_AMPLITUDE:
        raise UserError(
            f"{name} contains samples up to {peak:,.0f}, but full scale is 1 for floating-point audio. "
            "Divide the samples by their scale (32,768 for 16 bits), or save the file with 16 bits."
        )
    if np.ptp(samples) < SILENCE_THRESHOLD:
        raise UserError(f"{name} is silent.")
    resampled: np.ndarray = soxr.resample(samples, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else samples
    return resampled


def decode_rows(rows: Iterable[Mapping[str, Any]]) -> list[np.ndarray]:
    """Return the samples of each row; raises UserError like `decode`, with the id of the row."""
    clips = []
    for row in rows:
        try:
            clips.append(decode(row["audio"]))
        except UserError as error:
            raise UserError(f"row {row['id']}: {error}") from None
    return clips


def encode(samples: np.ndarray, codec: Literal["flac", "opus"] = "flac") -> dict[str, Any]:
    """Return the row value of mono samples at 16 kHz: FLAC, exact to 16 bits, or Opus, much smaller."""
    buffer = io.BytesIO()
    if codec == "flac":
        soundfile.write(buffer, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    else:
        # libsndfile expects the bit rate as a level from 0 (256 kbit/s per channel) to 1 (6 kbit/s).
        level = (256_000 - BIT_RATE) / (256_000 - 6_000)
        soundfile.write(buffer, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=level)
    return {"bytes": buffer.getvalue(), "path": None}


def _is_truncated(data: bytes) -> bool:
    """Check whether a WAV file is shorter than its header says, or an Ogg stream has no last page.

    libsndfile reads such files up to their end without an error.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        length = int.from_bytes(data[4:8], "little")
        return 0 < length < _MIN_UNKNOWN_LENGTH and len(data) < length
    if data[:4] == b"OggS":
        last_page = data.rfind(b"OggS")
        return not int.from_bytes(data[last_page + 5 : last_page + 6]) & 4
    return False
