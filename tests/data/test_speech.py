from pathlib import Path
from typing import get_args
from zlib import crc32

import numpy as np
import pytest
from datasets import Audio, DatasetDict

from hfmm.data import disable_media_decoding, fingerprint, speech
from hfmm.data.common import generate, tts_cache
from hfmm.data.common.audio import SAMPLE_RATE, decode
from hfmm.data.common.tts_cache import SpeechRequest
from hfmm.errors import UserError
from hfmm.grammar import CELLS, VerbCell, parse
from hfmm.recipe.validation import validate

SMALL = {"train": 40, "validation": 12, "test": 20}
FOUR = ("heart", "joe", "slt", "rms")


def said_by_a_machine(voice: str, text: str) -> np.ndarray:
    """A quarter second of a tone that belongs to the voice and the text."""
    hertz = 200 + crc32(f"{voice} {text}".encode()) % 3000
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE)).astype(np.float32)


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[SpeechRequest]:
    """Let a machine stand in for the voices; what it says is listed."""
    sayings = []

    def speak(voice: str, text: str) -> np.ndarray:
        sayings.append(SpeechRequest(voice, text))
        return said_by_a_machine(voice, text)

    monkeypatch.setattr(tts_cache, "synthesize", speak)
    monkeypatch.setattr(tts_cache, "require_installed", lambda names: None)
    monkeypatch.setattr(tts_cache, "engine_version", lambda name: f"{name} 1")
    monkeypatch.setattr(tts_cache.constants, "HF_HOME", str(tmp_path / "home"))
    return sayings


def build(folder: Path, num_proc: int = 1, **options: object) -> DatasetDict:
    return speech.build(speech.SpeechOptions.model_validate(SMALL | options), folder, num_proc)


def test_the_same_seed_gives_the_same_clips_in_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(tmp_path / "one", augment=True)
    monkeypatch.setattr(generate, "MIN_ROWS_FOR_MULTIPROCESSING", 10)
    again = build(tmp_path / "two", augment=True, num_proc=2)
    assert fingerprint(disable_media_decoding(again)) == fingerprint(disable_media_decoding(first))
    assert fingerprint(disable_media_decoding(build(tmp_path / "three", augment=True, seed=1))) != fingerprint(
        disable_media_decoding(first)
    )


def test_more_rows_keep_the_earlier_clips(tmp_path: Path) -> None:
    few, more = build(tmp_path / "few", augment=True), build(tmp_path / "more", augment=True, train=50)
    assert more["train"][39] == few["train"][39]


def test_rows_have_the_schema_and_say_the_same_thing_in_all_columns(tmp_path: Path) -> None:
    data = build(tmp_path, voices=FOUR, content="sentences")
    for rows in data.values():
        assert rows.column_names == ["id", "audio", "lemma", "tense", "person", "text", "group", "speaker"]
        assert rows.features["audio"] == Audio(sampling_rate=SAMPLE_RATE, decode=False)
        for row in rows:
            cell = VerbCell(row["lemma"], row["tense"], row["person"])
            assert row["group"] == "/".join(cell)
            assert cell in {reading[:3] for reading in parse(row["text"])}, row["text"]
            heard = decode(row["audio"])
            spoken = row["text"]
            if cell.lemma == "read" and cell.tense in ("past", "participle"):
                spoken = spoken.replace(" read", " red")
            assert np.abs(heard - said_by_a_machine(row["speaker"], spoken)).max() < 1e-3


def test_phrases_are_ready_transcripts_and_every_one_comes_once_a_pass(tmp_path: Path) -> None:
    data = build(tmp_path, voices=FOUR, hold_out="speaker", test=500)
    texts = data["test"]["text"][:]
    assert {"He works.", "For him to work.", "You have worked.", "It will work."} <= set(texts)
    assert {"/".join(cell) for cell in CELLS} == set(data["test"]["group"][:])
    pairs = list(zip(texts, data["test"]["group"][:], strict=True))
    assert len(set(pairs)) == 500


def test_a_held_out_speaker_speaks_one_split_alone(tmp_path: Path) -> None:
    data = build(tmp_path, voices=FOUR, hold_out="speaker")
    seen = {split: set(rows["speaker"][:]) for split, rows in data.items()}
    assert seen == {"train": {"heart", "joe"}, "validation": {"slt"}, "test": {"rms"}}


@pytest.mark.parametrize(
    "content",
    [*get_args(speech.Content), ["phrases", "sentences"], ["outside phrases", "outside sentences"]],
)
def test_held_out_cells_are_in_one_split_alone(tmp_path: Path, content: str | list[str]) -> None:
    data = build(tmp_path, content=content, hold_out="cell", train=100)
    seen = {split: set(rows["group"][:]) for split, rows in data.items()}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


@pytest.mark.parametrize("content", ["phrases", ["phrases", "sentences"]])
def test_a_text_of_two_held_out_cells_is_in_one_split_alone(tmp_path: Path, content: str | list[str]) -> None:
    data = build(tmp_path, content=content, hold_out="cell", train=720, validation=120, test=240)
    texts = {split: set(rows["text"][:]) for split, rows in data.items()}
    assert {"I put.", "You put.", "I read.", "You read."} <= set().union(*texts.values())
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]


def test_both_may_be_held_out(tmp_path: Path) -> None:
    data = build(tmp_path, voices=FOUR, hold_out="both")
    for column in ("group", "speaker"):
        assert not set(data["train"][column][:]) & set(data["test"][column][:])


def test_several_contents_come_by_turns(tmp_path: Path) -> None:
    both = build(tmp_path / "both", content=["phrases", "sentences"])
    words = [len(text.split()) for text in both["train"]["text"][:]]
    assert max(words[::2]) <= 4  # For him to work.
    assert np.mean(words[1::2]) > 5
    alone = build(tmp_path / "alone", content="phrases")["train"]["text"][:]
    assert both["train"]["text"][:][::2] == alone[:20]


def test_a_content_named_twice_comes_twice_as_often_and_says_nothing_twice(tmp_path: Path) -> None:
    data = build(tmp_path, content=["phrases", "sentences", "phrases"], train=42)["train"]["text"][:]
    alone = build(tmp_path / "alone", content="phrases", train=28)["train"]["text"][:]
    assert [text for place, text in enumerate(data) if place % 3 != 1] == alone
    assert len(set(alone)) == 28


def test_a_broken_off_build_goes_on_where_it_was(
    tmp_path: Path, said: list[SpeechRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tts_cache.synthesize

    def tiring(voice: str, text: str) -> np.ndarray:
        if len(said) >= 30:
            raise KeyboardInterrupt
        return good(voice, text)

    monkeypatch.setattr(tts_cache, "synthesize", tiring)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "first")
    monkeypatch.setattr(tts_cache, "synthesize", good)
    data = build(tmp_path / "second")
    assert len(said) == len(set(said)) == len({row["text"] for rows in data.values() for row in rows})


def test_varied_clips_differ_from_the_voice_and_opus_is_small(tmp_path: Path) -> None:
    plain, varied = build(tmp_path / "plain"), build(tmp_path / "varied", augment=True, codec="opus")
    assert plain["train"]["text"][:] == varied["train"]["text"][:]
    for row, other in zip(plain["test"], varied["test"], strict=True):
        assert other["audio"]["bytes"][:4] == b"OggS"
        assert not np.array_equal(decode(row["audio"])[:1000], decode(other["audio"])[:1000])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"voices": ["hart"]}, "each voice once, among heart, joe"),
        ({"voices": ["slt", "slt"]}, "each voice once"),
        ({"content": []}, "'content' is .*at least 1 item"),
        ({"hold_out": "speaker"}, "hold_out: speaker needs three voices or more, these are 1"),
    ],
)
def test_impossible_options_say_what_to_change(options: dict, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match=words):
        validate(speech.SpeechOptions, options, {})


def test_a_missing_voice_stops_the_build_before_anything_is_said(
    tmp_path: Path, said: list[SpeechRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.data.common import tts

    monkeypatch.setattr(tts_cache, "require_installed", tts.require_installed)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="apt install flite"):
        build(tmp_path, voices=["slt"])
    assert not said
