import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hfmm.data.common.audio import BIT_RATE, SAMPLE_RATE, decode, decode_rows, encode
from hfmm.errors import UserError


def tone(rate: int = SAMPLE_RATE, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def write_audio(path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def dominant_frequency(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize(
    ("file", "rate", "subtype"),
    [
        ("a.wav", 8_000, "PCM_U8"),
        ("a.wav", 44_100, "FLOAT"),
        ("a.wav", 96_000, "PCM_24"),
        ("a.flac", 192_000, None),
        ("a.ogg", 22_050, "VORBIS"),
        ("a.ogg", 48_000, "OPUS"),
        ("a.mp3", 44_100, None),
    ],
)
def test_decode_resamples_every_format_to_16_khz(tmp_path: Path, file: str, rate: int, subtype: str | None) -> None:
    samples = decode(str(write_audio(tmp_path / file, tone(rate), rate, subtype)))
    assert samples.dtype == np.float32
    assert abs(len(samples) - SAMPLE_RATE) < 0.1 * SAMPLE_RATE  # MP3 pads
    assert abs(dominant_frequency(samples) - 440) < 2
    assert 0.45 < np.abs(samples[2000:-2000]).max() < 0.56


def test_decode_averages_channels(tmp_path: Path) -> None:
    channels = np.stack([tone() * gain for gain in np.linspace(0, 1, 8)], axis=1)
    samples = decode({"path": str(write_audio(tmp_path / "eight.wav", channels, subtype="FLOAT")), "bytes": None})
    assert np.allclose(samples, tone() / 2, atol=1e-6)


def write_invalid_audio(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.wav"
    match kind:
        case "empty":
            path.touch()
        case "short":
            write_audio(path, np.zeros(0, np.float32))
        case "text":
            path.write_text("not audio at all")
        case "silent":
            write_audio(path, np.zeros(SAMPLE_RATE, np.float32))
        case "offset":
            write_audio(path, np.full(SAMPLE_RATE, 0.3, np.float32))
        case "nan":
            write_audio(path, np.full(SAMPLE_RATE, np.nan, np.float32), subtype="FLOAT")
        case "inf":
            write_audio(path, np.append(tone(), np.float32(np.inf)), subtype="FLOAT")
        case "loud":
            write_audio(path, tone() * 32_768, subtype="FLOAT")
        case "truncated":
            data = write_audio(path, tone()).read_bytes()
            path.write_bytes(data[:9000])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "missing.wav does not exist"),
        ("empty", r"empty.wav is empty \(zero bytes\)"),
        ("short", r"short.wav is empty \(zero samples\)"),
        ("text", "text.wav is not audio that libsndfile can read. Use WAV"),
        ("silent", "silent.wav is silent"),
        ("offset", "offset.wav is silent"),
        ("nan", "nan.wav contains samples that are not finite"),
        ("inf", "inf.wav contains samples that are not finite"),
        ("loud", "loud.wav contains samples up to 16,384, but full scale is 1 .* save the file with 16 bits"),
        ("truncated", "truncated.wav is truncated"),
    ],
)
def test_decode_reports_invalid_files(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        decode({"path": str(write_invalid_audio(kind, tmp_path)), "bytes": None})


@pytest.mark.parametrize("file", ["half.flac", "half.ogg"])
def test_decode_rejects_truncated_compressed_files(tmp_path: Path, file: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    path = write_audio(tmp_path / file, noise, subtype="OPUS" if file.endswith("ogg") else None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{file} is (truncated|damaged)"):
        decode(str(path))


@pytest.mark.parametrize(
    ("riff_size", "data_size"), [(0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000)], ids=["ffmpeg", "espeak and SoX"]
)
def test_decode_accepts_streamed_wav_with_unknown_length(tmp_path: Path, riff_size: int, data_size: int) -> None:
    data = bytearray(write_audio(tmp_path / "piped.wav", tone()).read_bytes())
    data[4:8], data[40:44] = riff_size.to_bytes(4, "little"), data_size.to_bytes(4, "little")
    assert len(decode({"bytes": bytes(data), "path": None})) == SAMPLE_RATE


def test_decode_rows_reports_row_without_audio() -> None:
    with pytest.raises(UserError, match="row x: the clip is missing: the row has neither bytes nor a path"):
        decode_rows([{"id": "x", "audio": None}])


def test_flac_round_trip_is_exact_to_16_bits() -> None:
    assert np.abs(decode(encode(tone())) - tone()).max() < 2**-15


def test_opus_round_trip_keeps_duration_and_pitch() -> None:
    value = encode(tone(seconds=4), codec="opus")
    assert soundfile.info(io.BytesIO(value["bytes"])).subtype == "OPUS"
    assert len(value["bytes"]) < 4 * BIT_RATE / 8 * 2
    decoded = decode(value)
    assert abs(len(decoded) - 4 * SAMPLE_RATE) <= 1
    assert abs(dominant_frequency(decoded) - 440) < 1
