"""How an audio value of a row becomes samples, and what is said when it cannot."""

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

SAMPLE_RATE = 16_000  # samples a second, what speech models hear
SILENCE_THRESHOLD = 1e-4  # of full scale from trough to peak, some -80 dB: below lies not even a quiet room's noise
MAX_AMPLITUDE = (
    8.0  # times full scale; decoders and loud masters go beyond 1 a little, samples on the scale of integers far
)
BIT_RATE = 12_000  # of Opus: wide-band speech that a recogniser hears as well, at a tenth of the bytes of PCM

# `datasets` encodes a row of its own Audio feature with torchcodec alone. Rows are written as this plain struct, which
# is how Audio lies in Arrow, and the finished column is cast.
AUDIO_STRUCT = {"bytes": Value("binary"), "path": Value("string")}
AUDIO_FEATURE = Audio(sampling_rate=SAMPLE_RATE, decode=False)

# From here on, or 0, the length in a WAV's header says that its writer could not know it: espeak and SoX write this one
# into a pipe, ffmpeg 0xFFFFFFFF.
_STREAMED = 0x7FFFF000


def decode(value: Any) -> np.ndarray:
    """Return mono float32 samples at 16 kHz, whose full scale is -1 to 1, from ``{"bytes", "path"}`` or a path.

    WAV, FLAC, Ogg, Opus and MP3 of any rate and any number of channels, which are averaged. Raises UserError
    for a file that is missing, empty, truncated, not audio, silent, far beyond full scale, or holds NaN or infinity.
    """
    name, data = read_media(value, "clip")
    if _is_truncated(data):
        raise UserError(f"{name} is truncated: its end is missing.")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            frames, rate = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        if error.code == 1:
            raise UserError(f"{name} is not audio that libsndfile knows: give WAV, FLAC, Ogg, Opus or MP3.") from None
        raise UserError(f"{name} is damaged: {error.error_string.rstrip('.')}.") from None
    if not channels.size:
        raise UserError(f"{name} is empty (zero samples).")
    if len(channels) < frames:
        raise UserError(f"{name} is truncated: it holds {len(channels):,} of {frames:,} samples.")
    samples = channels.mean(axis=1)
    if not np.isfinite(samples).all():
        raise UserError(f"{name} holds samples that are no numbers (NaN or infinity).")
    if (peak := np.abs(samples).max()) > MAX_AMPLITUDE:
        raise UserError(
            f"{name} holds samples up to {peak:,.0f}, and full scale is 1 where they are written as floating-point "
            "numbers: divide them by the scale that they are on (32,768 for 16 bits), or save the file with 16 bits."
        )
    if np.ptp(samples) < SILENCE_THRESHOLD:
        raise UserError(f"{name} is silent.")
    heard: np.ndarray = soxr.resample(samples, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else samples
    return heard


def decode_rows(rows: Iterable[Mapping[str, Any]]) -> list[np.ndarray]:
    """Return the samples of rows; raises UserError like `decode`, naming the row."""
    clips = []
    for row in rows:
        try:
            clips.append(decode(row["audio"]))
        except UserError as error:
            raise UserError(f"row {row['id']}: {error}") from None
    return clips


def encode(samples: np.ndarray, codec: Literal["flac", "opus"] = "flac") -> dict[str, Any]:
    """Return the row value of mono samples at 16 kHz: FLAC, exact to 16 bits, or Opus, small enough to ship."""
    buffer = io.BytesIO()
    if codec == "flac":
        soundfile.write(buffer, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    else:
        # libsndfile takes the bit rate as a level from 0 (256 kbit/s a channel) to 1 (6 kbit/s).
        level = (256_000 - BIT_RATE) / (256_000 - 6_000)
        soundfile.write(buffer, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=level)
    return {"bytes": buffer.getvalue(), "path": None}


def _is_truncated(data: bytes) -> bool:
    """Tell whether a WAV holds less than its header says, or an Ogg stream has no last page.

    libsndfile reads what is there of either, and says nothing.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        length = int.from_bytes(data[4:8], "little")
        return 0 < length < _STREAMED and len(data) < length
    if data[:4] == b"OggS":
        last = data.rfind(b"OggS")
        return not int.from_bytes(data[last + 5 : last + 6]) & 4
    return False
