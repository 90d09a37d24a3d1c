import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hfmm.data.common.audio import BIT_RATE, SAMPLE_RATE, decode, decode_rows, encode
from hfmm.errors import UserError


def tone(rate: int = SAMPLE_RATE, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def written(path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def pitch_of(samples: np.ndarray) -> float:
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
def test_any_format_and_rate_becomes_the_same_tone_at_16_khz(
    tmp_path: Path, file: str, rate: int, subtype: str | None
) -> None:
    samples = decode(str(written(tmp_path / file, tone(rate), rate, subtype)))
    assert samples.dtype == np.float32
    assert abs(len(samples) - SAMPLE_RATE) < 0.1 * SAMPLE_RATE  # MP3 pads
    assert abs(pitch_of(samples) - 440) < 2
    assert 0.45 < np.abs(samples[2000:-2000]).max() < 0.56


def test_eight_channels_are_averaged(tmp_path: Path) -> None:
    channels = np.stack([tone() * share for share in np.linspace(0, 1, 8)], axis=1)
    samples = decode({"path": str(written(tmp_path / "eight.wav", channels, subtype="FLOAT")), "bytes": None})
    assert np.allclose(samples, tone() / 2, atol=1e-6)


def damaged(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.wav"
    match kind:
        case "empty":
            path.touch()
        case "short":
            written(path, np.zeros(0, np.float32))
        case "text":
            path.write_text("not a sound at all")
        case "silent":
            written(path, np.zeros(SAMPLE_RATE, np.float32))
        case "offset":
            written(path, np.full(SAMPLE_RATE, 0.3, np.float32))
        case "nan":
            written(path, np.full(SAMPLE_RATE, np.nan, np.float32), subtype="FLOAT")
        case "inf":
            written(path, np.append(tone(), np.float32(np.inf)), subtype="FLOAT")
        case "loud":
            written(path, tone() * 32_768, subtype="FLOAT")
        case "truncated":
            whole = written(path, tone()).read_bytes()
            path.write_bytes(whole[:9000])
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "missing.wav does not exist"),
        ("empty", r"empty.wav is empty \(zero bytes\)"),
        ("short", r"short.wav is empty \(zero samples\)"),
        ("text", "text.wav is not audio that libsndfile knows: give WAV"),
        ("silent", "silent.wav is silent"),
        ("offset", "offset.wav is silent"),
        ("nan", "nan.wav holds samples that are no numbers"),
        ("inf", "inf.wav holds samples that are no numbers"),
        ("loud", "loud.wav holds samples up to 16,384, and full scale is 1 .* save the file with 16 bits"),
        ("truncated", "truncated.wav is truncated"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, kind: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        decode({"path": str(damaged(kind, tmp_path)), "bytes": None})


@pytest.mark.parametrize("file", ["half.flac", "half.ogg"])
def test_half_a_compressed_file_is_not_taken_for_a_short_one(tmp_path: Path, file: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    path = written(tmp_path / file, noise, subtype="OPUS" if file.endswith("ogg") else None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{file} is (truncated|damaged)"):
        decode(str(path))


@pytest.mark.parametrize(
    ("riff", "data"), [(0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000)], ids=["ffmpeg", "espeak and SoX"]
)
def test_a_wav_whose_writer_could_not_know_its_length_is_whole(tmp_path: Path, riff: int, data: int) -> None:
    whole = bytearray(written(tmp_path / "piped.wav", tone()).read_bytes())
    whole[4:8], whole[40:44] = riff.to_bytes(4, "little"), data.to_bytes(4, "little")
    assert len(decode({"bytes": bytes(whole), "path": None})) == SAMPLE_RATE


def test_a_row_without_a_file_says_so() -> None:
    with pytest.raises(UserError, match="row x: the clip is missing: the row holds neither bytes nor a path"):
        decode_rows([{"id": "x", "audio": None}])


def test_flac_keeps_sixteen_bits() -> None:
    assert np.abs(decode(encode(tone())) - tone()).max() < 2**-15


def test_opus_keeps_the_sound_in_a_fraction_of_the_bytes() -> None:
    value = encode(tone(seconds=4), codec="opus")
    assert soundfile.info(io.BytesIO(value["bytes"])).subtype == "OPUS"
    assert len(value["bytes"]) < 4 * BIT_RATE / 8 * 2
    heard = decode(value)
    assert abs(len(heard) - 4 * SAMPLE_RATE) <= 1
    assert abs(pitch_of(heard) - 440) < 1
