"""Speech augmentations for mono samples at 16 kHz: speaker, microphone, room, noise and telephone line.

Each takes 0.5 to 4 ms for 2 s of audio, so every clip can be augmented again in every epoch.
"""

from __future__ import annotations

import numpy as np
import soxr

from hfmm.data.common.audio import SAMPLE_RATE

FRAME = 512  # samples (32 ms) over which the vocal tract is assumed to be constant
N_CEPSTRAL_COEFFICIENTS = 40  # the first coefficients of the cepstrum describe the vocal tract, the others the pitch
HOP, SEARCH = 256, 128  # of time_stretch, in samples: hop between frames, and search range in both directions
MEL_BREAK_HZ, N_EQ_POINTS = 700.0, 9  # hertz below which the mel scale is linear, and points of the random gain curve
FIRST_REFLECTION_SECONDS = 0.003  # delay of the first reflection
TELEPHONE = (300.0, 3400.0)  # pass band in hertz
MU = 255  # ITU-T G.711


def speed_perturb(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return the clip at ``factor`` times the speed and the pitch (Ko et al. 2015, Interspeech)."""
    resampled: np.ndarray = soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE, quality="MQ")
    return resampled


def time_stretch(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return the clip at ``factor`` times the duration and the same pitch, by WSOLA (Verhelst & Roelands 1993, ICASSP).

    Frames overlap by half at even steps. Each frame is taken from the position that best continues the frame before.
    """
    length = round(len(samples) * factor)
    window = np.hanning(2 * HOP + 1)[:-1].astype(np.float32)
    padded = np.pad(samples, (HOP + SEARCH, 3 * HOP + 2 * SEARCH))
    stretched = np.zeros(length + 3 * HOP, np.float32)
    position = SEARCH
    for step in range(0, length + HOP, HOP):
        first = min(round(step / factor), len(samples) + HOP)
        if step:
            region = padded[first : first + HOP + 2 * SEARCH]
            position = first + int(np.argmax(np.correlate(region, padded[position + HOP : position + 2 * HOP])))
        stretched[step : step + 2 * HOP] += window * padded[position : position + 2 * HOP]
    return stretched[HOP : HOP + length]


def pitch_shift(samples: np.ndarray, semitones: float) -> np.ndarray:
    """Return the clip ``semitones`` higher, with the same duration."""
    factor = 2 ** (semitones / 12)
    return _pad_or_trim(speed_perturb(time_stretch(samples, factor), factor), len(samples))


def shift_formants(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return the clip with the resonances of the vocal tract moved by ``factor``, at the same pitch.

    The spectral envelope of each frame, the smooth part of its log spectrum (Noll 1967, JASA 41), is stretched.
    """
    step = FRAME // 2
    window = np.sqrt(np.hanning(FRAME + 1)[:-1]).astype(np.float32)  # applied before analysis and after synthesis
    padded = np.pad(samples, (FRAME, FRAME + step))
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::step] * window)
    cepstra = np.fft.irfft(np.log(np.abs(spectra) + 1e-5))
    cepstra[:, N_CEPSTRAL_COEFFICIENTS:-N_CEPSTRAL_COEFFICIENTS] = 0
    envelopes = np.fft.rfft(cepstra).real
    source_bins = np.minimum(np.arange(FRAME // 2 + 1) / factor, FRAME // 2 - 1)
    lower_bins = source_bins.astype(int)
    weights = (source_bins - lower_bins).astype(np.float32)
    shifted = envelopes[:, lower_bins] * (1 - weights) + envelopes[:, lower_bins + 1] * weights
    spectra *= np.exp(shifted - envelopes)
    output = np.zeros(len(padded), np.float32)
    for index, frame in enumerate(np.fft.irfft(spectra) * window):
        output[index * step : index * step + FRAME] += frame
    output = output[FRAME : FRAME + len(samples)]
    return output * np.float32(np.sqrt(_power(samples) / _power(output)))


def random_equalizer(samples: np.ndarray, decibels: float, rng: np.random.Generator) -> np.ndarray:
    """Return the clip with a smooth random gain over frequency, of standard deviation ``decibels``."""
    size = _next_power_of_two(len(samples))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    mel_points = np.linspace(0, np.log1p(SAMPLE_RATE / 2 / MEL_BREAK_HZ), N_EQ_POINTS)
    gain = np.interp(np.log1p(hertz / MEL_BREAK_HZ), mel_points, rng.normal(0, decibels, N_EQ_POINTS))
    output: np.ndarray = np.fft.irfft(np.fft.rfft(samples, size) * 10 ** (gain / 20), size)[: len(samples)]
    output *= np.sqrt(_power(samples) / _power(output))
    return output.astype(np.float32)


def add_noise(samples: np.ndarray, snr: float, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Return the clip with noise at ``snr`` decibels, whose power falls by ``slope`` times 3 dB per octave.

    Slope 0 is white noise (a hiss), 1 is pink noise (rain), 2 is brown noise (a car).
    """
    size = _next_power_of_two(len(samples))
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-slope / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, n=size)[: len(samples)]
    noise *= np.sqrt(_power(samples) / _power(noise)) * 10 ** (-snr / 20)
    return (samples + noise).astype(np.float32)


def reverberate(samples: np.ndarray, reverberation: float, rng: np.random.Generator) -> np.ndarray:
    """Return the clip with the reverberation of a room, at the same power.

    ``reverberation`` is the time in seconds in which sound decays by 60 dB. The impulse response is the direct sound
    followed by exponentially decaying noise (Moorer 1979).
    """
    count = round(reverberation * SAMPLE_RATE)
    response = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    response[: round(FIRST_REFLECTION_SECONDS * SAMPLE_RATE)] = 0
    response *= rng.uniform(0.2, 0.8) / np.sqrt((response**2).sum())
    response[0] = 1
    size = _next_power_of_two(len(samples) + count)
    output: np.ndarray = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples)]
    output *= np.sqrt(_power(samples) / _power(output))
    return output.astype(np.float32)


def set_peak_level(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Return the clip with its peak at ``decibels`` relative to full scale."""
    scaled: np.ndarray = samples * (10 ** (decibels / 20) / np.abs(samples).max())
    return scaled.astype(np.float32)


def telephone_codec(samples: np.ndarray, companded: bool) -> np.ndarray:
    """Return the clip limited to the telephone band (300 to 3400 Hz), with 8-bit mu-law coding if ``companded``."""
    size = _next_power_of_two(len(samples))
    spectrum = np.fft.rfft(samples, size)
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum[(hertz < TELEPHONE[0]) | (hertz > TELEPHONE[1])] = 0
    filtered: np.ndarray = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
    if not companded:
        return filtered
    peak = np.abs(filtered).max()
    code = np.round(np.sign(filtered) * np.log1p(MU * np.abs(filtered) / peak) / np.log1p(MU) * 127) / 127
    decoded: np.ndarray = np.sign(code) * np.expm1(np.abs(code) * np.log1p(MU)) / MU * peak
    return decoded.astype(np.float32)


def augment(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply a random subset of the augmentations above, in the order in which they occur physically.

    The ranges are as wide as the variation between people. With narrower ranges, a model that is trained on a few
    voices does not recognize other voices.
    """
    if rng.random() < 0.5:
        samples = speed_perturb(samples, rng.uniform(0.8, 1.2))
    if rng.random() < 0.5:
        samples = pitch_shift(samples, rng.uniform(-6, 6))
    if rng.random() < 0.4:
        samples = shift_formants(samples, rng.uniform(0.78, 1.28))
    if rng.random() < 0.6:
        samples = random_equalizer(samples, rng.uniform(1, 10), rng)
    if rng.random() < 0.4:
        samples = reverberate(samples, rng.uniform(0.1, 0.6), rng)
    if rng.random() < 0.6:
        samples = add_noise(samples, rng.uniform(5, 35), rng.uniform(0, 2), rng)
    if rng.random() < 0.1:
        samples = telephone_codec(samples, companded=rng.random() < 0.5)
    return set_peak_level(samples, rng.uniform(-24, -1))


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) or 1e-12


def _pad_or_trim(samples: np.ndarray, length: int) -> np.ndarray:
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def _next_power_of_two(length: int) -> int:
    """Return the smallest power of two that is at least ``length``, the sizes for which the FFT is fastest."""
    return 1 << (length - 1).bit_length()
