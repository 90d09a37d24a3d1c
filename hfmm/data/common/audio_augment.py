"""What rooms, microphones, lines and other throats do to speech: augmentations of mono samples at 16 kHz.

Each is fast enough (0.5 to 4 ms for 2 s of sound) to be drawn anew for every clip in every epoch.
"""

from __future__ import annotations

import numpy as np
import soxr

from hfmm.data.common.audio import SAMPLE_RATE

FRAME = 512  # samples, 32 ms, over which a throat is taken for still
N_CEPSTRAL_COEFFICIENTS = 40  # coefficients of the cepstrum that tell the throat; those after them tell the pitch
HOP, SEARCH = 256, 128  # samples from frame to frame of a stretch, and how far each way a better place is sought
MEL_BREAK_HZ, N_EQ_POINTS = 700.0, 9  # hertz up to which hearing is linear, and points that a colour is drawn at
FIRST_REFLECTION_SECONDS = 0.003  # seconds after which the first reflection arrives
TELEPHONE = (300.0, 3400.0)  # hertz that a line carries
MU = 255  # ITU-T G.711


def speed_perturb(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return the clip played ``factor`` times as fast, its pitch higher by as much (Ko et al. 2015, Interspeech)."""
    faster: np.ndarray = soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE, quality="MQ")
    return faster


def time_stretch(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return the clip ``factor`` times as long at the same pitch, by WSOLA (Verhelst & Roelands 1993, ICASSP).

    Frames are laid half over each other at even steps, each taken from where it best continues the one before it.
    """
    length = round(len(samples) * factor)
    window = np.hanning(2 * HOP + 1)[:-1].astype(np.float32)
    padded = np.pad(samples, (HOP + SEARCH, 3 * HOP + 2 * SEARCH))
    sound = np.zeros(length + 3 * HOP, np.float32)
    at = SEARCH
    for step in range(0, length + HOP, HOP):
        first = min(round(step / factor), len(samples) + HOP)
        if step:
            region = padded[first : first + HOP + 2 * SEARCH]
            at = first + int(np.argmax(np.correlate(region, padded[at + HOP : at + 2 * HOP])))
        sound[step : step + 2 * HOP] += window * padded[at : at + 2 * HOP]
    return sound[HOP : HOP + length]


def pitch_shift(samples: np.ndarray, semitones: float) -> np.ndarray:
    """Return the clip ``semitones`` higher, as long as before."""
    factor = 2 ** (semitones / 12)
    return _pad_or_trim(speed_perturb(time_stretch(samples, factor), factor), len(samples))


def shift_formants(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return the clip at the same pitch out of a throat whose resonances lie ``factor`` times as high.

    Each frame's spectral envelope, which is the smooth part of its log spectrum (Noll 1967, JASA 41), is stretched.
    """
    step = FRAME // 2
    window = np.sqrt(np.hanning(FRAME + 1)[:-1]).astype(np.float32)  # over the sound and again over what becomes of it
    padded = np.pad(samples, (FRAME, FRAME + step))
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::step] * window)
    cepstra = np.fft.irfft(np.log(np.abs(spectra) + 1e-5))
    cepstra[:, N_CEPSTRAL_COEFFICIENTS:-N_CEPSTRAL_COEFFICIENTS] = 0
    envelopes = np.fft.rfft(cepstra).real
    places = np.minimum(np.arange(FRAME // 2 + 1) / factor, FRAME // 2 - 1)
    below = places.astype(int)
    share = (places - below).astype(np.float32)
    there = envelopes[:, below] * (1 - share) + envelopes[:, below + 1] * share
    spectra *= np.exp(there - envelopes)
    sound = np.zeros(len(padded), np.float32)
    for place, frame in enumerate(np.fft.irfft(spectra) * window):
        sound[place * step : place * step + FRAME] += frame
    heard = sound[FRAME : FRAME + len(samples)]
    return heard * np.float32(np.sqrt(_power(samples) / _power(heard)))


def random_equalizer(samples: np.ndarray, decibels: float, rng: np.random.Generator) -> np.ndarray:
    """Return the clip through another microphone and mouth: a smooth gain, ``decibels`` up or down, over frequency."""
    size = _next_power_of_two(len(samples))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    places = np.linspace(0, np.log1p(SAMPLE_RATE / 2 / MEL_BREAK_HZ), N_EQ_POINTS)
    gain = np.interp(np.log1p(hertz / MEL_BREAK_HZ), places, rng.normal(0, decibels, N_EQ_POINTS))
    heard: np.ndarray = np.fft.irfft(np.fft.rfft(samples, size) * 10 ** (gain / 20), size)[: len(samples)]
    heard *= np.sqrt(_power(samples) / _power(heard))
    return heard.astype(np.float32)


def add_noise(samples: np.ndarray, snr: float, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Return the clip under noise of ``snr`` decibels; its power falls by ``slope`` times 3 dB an octave.

    Slope 0 is white like a hiss, 1 pink like rain, 2 brown like a car.
    """
    size = _next_power_of_two(len(samples))
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-slope / 2)
    spectrum[0] = 0
    sound = np.fft.irfft(spectrum, n=size)[: len(samples)]
    sound *= np.sqrt(_power(samples) / _power(sound)) * 10 ** (-snr / 20)
    return (samples + sound).astype(np.float32)


def reverberate(samples: np.ndarray, reverberation: float, rng: np.random.Generator) -> np.ndarray:
    """Return the clip as heard in a room where sound falls by 60 dB in ``reverberation`` seconds, as loud as before.

    The impulse response is a direct sound and then noise that decays exponentially (Moorer 1979).
    """
    count = round(reverberation * SAMPLE_RATE)
    response = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    response[: round(FIRST_REFLECTION_SECONDS * SAMPLE_RATE)] = 0
    response *= rng.uniform(0.2, 0.8) / np.sqrt((response**2).sum())
    response[0] = 1
    size = _next_power_of_two(len(samples) + count)
    heard: np.ndarray = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples)]
    heard *= np.sqrt(_power(samples) / _power(heard))
    return heard.astype(np.float32)


def set_peak_level(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Return the clip with its loudest sample at ``decibels`` of full scale."""
    louder: np.ndarray = samples * (10 ** (decibels / 20) / np.abs(samples).max())
    return louder.astype(np.float32)


def telephone_codec(samples: np.ndarray, companded: bool) -> np.ndarray:
    """Return the clip as a telephone line carries it: 300 to 3400 Hz, ``companded`` to the 8 bits of mu-law."""
    size = _next_power_of_two(len(samples))
    spectrum = np.fft.rfft(samples, size)
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum[(hertz < TELEPHONE[0]) | (hertz > TELEPHONE[1])] = 0
    heard: np.ndarray = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
    if not companded:
        return heard
    loudest = np.abs(heard).max()
    code = np.round(np.sign(heard) * np.log1p(MU * np.abs(heard) / loudest) / np.log1p(MU) * 127) / 127
    heard = np.sign(code) * np.expm1(np.abs(code) * np.log1p(MU)) / MU * loudest
    return heard.astype(np.float32)


def augment(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the clip spoken and heard otherwise: a random few of the above, in the order in which they happen.

    The ranges are as wide as people are: a few voices varied less leave a model that hears no other.
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
    """Return the power of two from ``length`` on: there the FFT is fastest."""
    return 1 << (length - 1).bit_length()
