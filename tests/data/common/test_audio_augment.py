import time

import numpy as np
import pytest

from hfmm.data.common import audio_augment
from hfmm.data.common.audio import SAMPLE_RATE


def tone(hertz: float = 440.0, seconds: float = 2.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE)).astype(np.float32)


def dominant_frequency(samples: np.ndarray) -> float:
    windowed = samples[2000:-2000] * np.hanning(len(samples) - 4000)
    return float(np.argmax(np.abs(np.fft.rfft(windowed, 1 << 18))) * SAMPLE_RATE / (1 << 18))


def power_ratio_db(signal: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(signal.astype(float) ** 2) / np.mean(other.astype(float) ** 2)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_speed_perturb_changes_duration_and_pitch(factor: float) -> None:
    faster = audio_augment.speed_perturb(tone(), factor)
    assert abs(len(faster) - 2 * SAMPLE_RATE / factor) < 2
    assert abs(dominant_frequency(faster) / (440 * factor) - 1) < 0.002


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_time_stretch_changes_only_duration(factor: float) -> None:
    longer = audio_augment.time_stretch(tone(), factor)
    assert abs(len(longer) - 2 * SAMPLE_RATE * factor) < 2
    assert abs(dominant_frequency(longer) / 440 - 1) < 0.002
    assert abs(power_ratio_db(longer[4000:-4000], tone())) < 0.5


def test_time_stretch_by_one_keeps_samples(rng: np.random.Generator) -> None:
    noise = rng.normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    assert power_ratio_db(noise, audio_augment.time_stretch(noise, 1.0) - noise) > 60


@pytest.mark.parametrize("semitones", [-4, 0, 3])
def test_pitch_shift_changes_only_pitch(semitones: float) -> None:
    higher = audio_augment.pitch_shift(tone(), semitones)
    assert len(higher) == 2 * SAMPLE_RATE
    assert abs(12 * np.log2(dominant_frequency(higher) / 440) - semitones) < 0.05


def vowel(resonance: float, hertz: float = 125.0) -> np.ndarray:
    """Return a tone of ``hertz`` whose harmonics are loudest at ``resonance`` (in hertz)."""
    seconds = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    overtones = np.arange(1, int(SAMPLE_RATE / 2 / hertz)) * hertz
    loudness = 1 / (1 + ((overtones - resonance) / 150) ** 2)
    samples: np.ndarray = (0.05 * np.sin(2 * np.pi * overtones[:, None] * seconds) * loudness[:, None]).sum(0)
    return samples.astype(np.float32)


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.18])
def test_shift_formants_moves_resonances_and_keeps_pitch(factor: float) -> None:
    shifted = audio_augment.shift_formants(vowel(1500), factor)
    power = np.abs(np.fft.rfft(shifted[4000:20000])) ** 2  # bins of 1 Hz
    harmonics = np.arange(125, 8000, 125)
    assert power[harmonics].sum() / power.sum() > 0.95
    peak = harmonics[np.argmax(power[harmonics])]
    assert abs(peak - 1500 * factor) <= 125
    assert abs(power_ratio_db(shifted, vowel(1500))) < 0.01


def test_shift_formants_by_one_keeps_samples(rng: np.random.Generator) -> None:
    noise = rng.normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    assert power_ratio_db(noise, audio_augment.shift_formants(noise, 1.0) - noise) > 60


def test_random_equalizer_gain_is_smooth_and_has_requested_strength(rng: np.random.Generator) -> None:
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[100] = 0.5
    gains = [
        20 * np.log10(np.abs(np.fft.rfft(audio_augment.random_equalizer(click, 6, rng), 1 << 14))) for _ in range(50)
    ]
    assert all(np.abs(np.diff(gain)).max() < 0.5 for gain in gains)
    assert 4 < np.std(gains) < 7
    assert abs(power_ratio_db(audio_augment.random_equalizer(tone(), 6, rng), tone())) < 0.01


@pytest.mark.parametrize("snr", [0, 10, 30])
@pytest.mark.parametrize("slope", [0, 1, 2])
def test_add_noise_has_requested_snr(snr: float, slope: float, rng: np.random.Generator) -> None:
    noisy = audio_augment.add_noise(tone(), snr, slope, rng)
    assert abs(power_ratio_db(tone(), noisy - tone()) - snr) < 0.01


@pytest.mark.parametrize("slope", [0, 1, 2])
def test_add_noise_power_falls_with_slope(slope: float, rng: np.random.Generator) -> None:
    power = np.abs(np.fft.rfft(audio_augment.add_noise(tone(), 0, slope, rng) - tone())) ** 2
    octaves = [power[500 * 2**n : 1000 * 2**n].mean() for n in range(5)]
    decay = 10 * np.log10(octaves[0] / octaves[-1]) / 4
    assert abs(decay - 3.01 * slope) < 0.6


@pytest.mark.parametrize("reverberation", [0.2, 0.5])
def test_reverberate_decays_by_60_db_in_given_time(reverberation: float, rng: np.random.Generator) -> None:
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[0] = 0.5
    energy = np.cumsum(audio_augment.reverberate(click, reverberation, rng)[::-1].astype(float) ** 2)[::-1]
    decay = 10 * np.log10(energy / energy[1])  # Schroeder's backward integral, without the direct sound
    early, late = (int(np.argmax(decay < level)) for level in (-5, -35))
    assert abs(2 * (late - early) / SAMPLE_RATE / reverberation - 1) < 0.15
    assert abs(power_ratio_db(audio_augment.reverberate(tone(), reverberation, rng), tone())) < 0.01


def test_set_peak_level_sets_the_peak() -> None:
    assert abs(np.abs(audio_augment.set_peak_level(tone(), -6)).max() - 10 ** (-6 / 20)) < 1e-6


@pytest.mark.parametrize("companded", [False, True])
def test_telephone_codec_keeps_only_its_band(companded: bool, rng: np.random.Generator) -> None:
    noise = rng.normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
    power = np.abs(np.fft.rfft(audio_augment.telephone_codec(noise, companded))) ** 2
    hertz = np.fft.rfftfreq(2 * SAMPLE_RATE, 1 / SAMPLE_RATE)
    in_band = (hertz > 300) & (hertz < 3400)
    assert power[in_band].mean() / power[~in_band].mean() > (100 if companded else 1000)
    speech = tone(1000)
    assert power_ratio_db(speech, audio_augment.telephone_codec(speech, companded) - speech) > (25 if companded else 30)


def test_augment_is_deterministic_varied_and_never_clips() -> None:
    clips = [audio_augment.augment(tone(), np.random.default_rng(seed)) for seed in range(40)]
    assert np.array_equal(clips[7], audio_augment.augment(tone(), np.random.default_rng(7)))
    assert len({clip.tobytes() for clip in clips}) == 40
    for clip in clips:
        assert clip.dtype == np.float32
        assert np.isfinite(clip).all()
        assert 0.02 < np.abs(clip).max() < 1
        assert 2 / 1.2 * SAMPLE_RATE - 1 < len(clip) < 2 / 0.8 * SAMPLE_RATE + 1


def test_augment_takes_milliseconds() -> None:
    audio_augment.augment(tone(), np.random.default_rng(0))
    start = time.process_time()
    for seed in range(50):
        audio_augment.augment(tone(), np.random.default_rng(seed))
    assert (time.process_time() - start) / 50 < 0.03
