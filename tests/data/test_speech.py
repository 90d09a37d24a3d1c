from pathlib import Path
from typing import get_args
from zlib import crc32

import numpy as np
import pytest
from datasets import Audio, DatasetDict
from huggingface_hub import constants

from hfmm.data import disable_media_decoding, fingerprint, speech
from hfmm.data.common import generate, tts_cache
from hfmm.data.common.audio import SAMPLE_RATE, decode
from hfmm.data.common.tts_cache import SpeechRequest
from hfmm.errors import UserError
from hfmm.grammar import CELLS, VerbCell, parse
from hfmm.recipe.validation import validate

SMALL = {"train": 40, "validation": 12, "test": 20}
FOUR = ("heart", "joe", "slt", "rms")


def synthetic_tone(voice: str, text: str) -> np.ndarray:
    """Return a quarter second of a tone whose frequency depends on the voice and the text."""
    hertz = 200 + crc32(f"{voice} {text}".encode()) % 3000
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE)).astype(np.float32)


@pytest.fixture(autouse=True)
def requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[SpeechRequest]:
    """Replace the voices by tones and return the list of synthesis requests."""
    requests: list[SpeechRequest] = []

    def synthesize(voice: str, text: str) -> np.ndarray:
        requests.append(SpeechRequest(voice, text))
        return synthetic_tone(voice, text)

    monkeypatch.setattr(tts_cache, "synthesize", synthesize)
    monkeypatch.setattr(tts_cache, "require_installed", lambda names: None)
    monkeypatch.setattr(tts_cache, "engine_version", lambda name: f"{name} 1")
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    return requests


def build(folder: Path, num_proc: int = 1, **options: object) -> DatasetDict:
    return speech.build(speech.SpeechOptions.model_validate(SMALL | options), folder, num_proc)


def test_the_seed_changes_the_clips_and_the_number_of_processes_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(tmp_path / "one", augment=True)
    monkeypatch.setattr(generate, "MIN_ROWS_FOR_MULTIPROCESSING", 10)
    second = build(tmp_path / "two", augment=True, num_proc=2)
    assert fingerprint(disable_media_decoding(second)) == fingerprint(disable_media_decoding(first))
    assert fingerprint(disable_media_decoding(build(tmp_path / "three", augment=True, seed=1))) != fingerprint(
        disable_media_decoding(first)
    )


def test_adding_rows_does_not_change_earlier_clips(tmp_path: Path) -> None:
    short, longer = build(tmp_path / "short", augment=True), build(tmp_path / "longer", augment=True, train=50)
    assert longer["train"][39] == short["train"][39]


def test_rows_have_the_expected_columns_and_the_columns_agree(tmp_path: Path) -> None:
    data = build(tmp_path, voices=FOUR, content="sentences")
    for rows in data.values():
        assert rows.column_names == ["id", "audio", "lemma", "tense", "person", "text", "group", "speaker"]
        assert rows.features["audio"] == Audio(sampling_rate=SAMPLE_RATE, decode=False)
        for row in rows:
            cell = VerbCell(row["lemma"], row["tense"], row["person"])
            assert row["group"] == "/".join(cell)
            assert cell in {reading[:3] for reading in parse(row["text"])}, row["text"]
            audio = decode(row["audio"])
            spoken = row["text"]
            if cell.lemma == "read" and cell.tense in ("past", "participle"):
                spoken = spoken.replace(" read", " red")
            assert np.abs(audio - synthetic_tone(row["speaker"], spoken)).max() < 1e-3


def test_phrases_are_sentences_and_each_one_occurs_once_per_pass(tmp_path: Path) -> None:
    data = build(tmp_path, voices=FOUR, hold_out="speaker", test=500)
    texts = data["test"]["text"][:]
    assert {"He works.", "For him to work.", "You have worked.", "It will work."} <= set(texts)
    assert {"/".join(cell) for cell in CELLS} == set(data["test"]["group"][:])
    pairs = list(zip(texts, data["test"]["group"][:], strict=True))
    assert len(set(pairs)) == 500


def test_a_held_out_speaker_is_in_one_split_only(tmp_path: Path) -> None:
    data = build(tmp_path, voices=FOUR, hold_out="speaker")
    speakers = {split: set(rows["speaker"][:]) for split, rows in data.items()}
    assert speakers == {"train": {"heart", "joe"}, "validation": {"slt"}, "test": {"rms"}}


@pytest.mark.parametrize(
    "content",
    [*get_args(speech.Content), ["phrases", "sentences"], ["outside phrases", "outside sentences"]],
)
def test_held_out_cells_are_in_one_split_only(tmp_path: Path, content: str | list[str]) -> None:
    data = build(tmp_path, content=content, hold_out="cell", train=100)
    groups = {split: set(rows["group"][:]) for split, rows in data.items()}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]


@pytest.mark.parametrize("content", ["phrases", ["phrases", "sentences"]])
def test_a_text_of_two_held_out_cells_is_in_one_split_only(tmp_path: Path, content: str | list[str]) -> None:
    data = build(tmp_path, content=content, hold_out="cell", train=720, validation=120, test=240)
    texts = {split: set(rows["text"][:]) for split, rows in data.items()}
    assert {"I put.", "You put.", "I read.", "You read."} <= set().union(*texts.values())
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]


def test_speakers_and_cells_can_both_be_held_out(tmp_path: Path) -> None:
    data = build(tmp_path, voices=FOUR, hold_out="both")
    for column in ("group", "speaker"):
        assert not set(data["train"][column][:]) & set(data["test"][column][:])


def test_several_contents_alternate(tmp_path: Path) -> None:
    mixed = build(tmp_path / "mixed", content=["phrases", "sentences"])
    word_counts = [len(text.split()) for text in mixed["train"]["text"][:]]
    assert max(word_counts[::2]) <= 4  # For him to work.
    assert np.mean(word_counts[1::2]) > 5
    phrases = build(tmp_path / "alone", content="phrases")["train"]["text"][:]
    assert mixed["train"]["text"][:][::2] == phrases[:20]


def test_a_repeated_content_is_twice_as_frequent_without_repeated_texts(tmp_path: Path) -> None:
    texts = build(tmp_path, content=["phrases", "sentences", "phrases"], train=42)["train"]["text"][:]
    phrases = build(tmp_path / "alone", content="phrases", train=28)["train"]["text"][:]
    assert [text for index, text in enumerate(texts) if index % 3 != 1] == phrases
    assert len(set(phrases)) == 28


def test_an_interrupted_build_continues_where_it_stopped(
    tmp_path: Path, requests: list[SpeechRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tts_cache.synthesize

    def interrupt_after_30(voice: str, text: str) -> np.ndarray:
        if len(requests) >= 30:
            raise KeyboardInterrupt
        return original(voice, text)

    monkeypatch.setattr(tts_cache, "synthesize", interrupt_after_30)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "first")
    monkeypatch.setattr(tts_cache, "synthesize", original)
    data = build(tmp_path / "second")
    assert len(requests) == len(set(requests)) == len({row["text"] for rows in data.values() for row in rows})


def test_augmented_clips_differ_from_the_voice_and_are_stored_as_opus(tmp_path: Path) -> None:
    plain, augmented = build(tmp_path / "plain"), build(tmp_path / "augmented", augment=True, codec="opus")
    assert plain["train"]["text"][:] == augmented["train"]["text"][:]
    for row, augmented_row in zip(plain["test"], augmented["test"], strict=True):
        assert augmented_row["audio"]["bytes"][:4] == b"OggS"
        assert not np.array_equal(decode(row["audio"])[:1000], decode(augmented_row["audio"])[:1000])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voices": ["hart"]}, "list each voice once; choose from heart, joe"),
        ({"voices": ["slt", "slt"]}, "list each voice once"),
        ({"content": []}, "'content' is .*at least 1 item"),
        ({"hold_out": "speaker"}, "hold_out: speaker needs at least 3 voices, but voices has 1"),
    ],
)
def test_invalid_options_raise_an_error(options: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match=message):
        validate(speech.SpeechOptions, options, {})


def test_a_missing_voice_fails_the_build_before_any_synthesis(
    tmp_path: Path, requests: list[SpeechRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.data.common import tts

    monkeypatch.setattr(tts_cache, "require_installed", tts.require_installed)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="apt install flite"):
        build(tmp_path, voices=["slt"])
    assert not requests
