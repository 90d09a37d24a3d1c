import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Audio, Dataset, DatasetDict, load_dataset

from hfmm.data.audio import FEATURE, RATE, decode, encode
from hfmm.data.export import export
from hfmm.data.spectrogram import log_mel, picture_of
from hfmm.errors import UserError


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture
def sounds() -> DatasetDict:
    def rows(count: int, speaker: str) -> Dataset:
        columns = {
            "id": [f"{index}" for index in range(count)],
            "audio": [encode(tone(300 + 100 * index), codec="opus") for index in range(count)],
            "text": [f"Number {index}." for index in range(count)],
            "speaker": [speaker] * count,
        }
        return Dataset.from_dict(columns).cast_column("audio", FEATURE)

    return DatasetDict({"train": rows(6, "heart"), "validation": rows(2, "awb"), "test": rows(3, "rms")})


@pytest.fixture
def folder(tmp_path: Path, sounds: DatasetDict) -> Path:
    export(sounds, tmp_path / "sounds", name="sounds", command="hfmm data sounds", description="Numbers.")
    return tmp_path / "sounds"


def test_exported_sounds_play_and_come_back(folder: Path, sounds: DatasetDict, tmp_path: Path) -> None:
    data = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert data["train"].features["audio"] == Audio(sampling_rate=RATE)
    for split, rows in data.cast_column("audio", FEATURE).items():
        assert rows["audio"][:] == sounds[split]["audio"][:]


def test_the_snippet_of_a_sound_card_runs_and_prints_what_the_card_shows(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    shown = re.search(r"```\n([^`]*)\n```\n\n## How", card)
    assert code and shown
    environment = {**os.environ, "HF_HOME": str(folder.parent / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code[1]], cwd=folder.parent, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == shown[1].strip(), done.stderr


def test_a_sound_card_counts_time_and_names_the_licence_of_every_voice(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "automatic-speech-recognition" in card
    assert "| train | 6 | 0.1 | 1.0 |" in card
    assert "`speaker`: 1 values in test, 0 of them also in train." in card
    assert "| rms | 3 test | man, American, statistical | CMU's licence of flite (BSD-like) |" in card
    assert "| heart | 6 train |" in card


def test_a_folder_with_files_is_not_written_over(folder: Path, sounds: DatasetDict) -> None:
    with pytest.raises(UserError, match="is not empty"):
        export(sounds, folder, name="x", command="x", description="x")


def test_a_tone_is_bright_where_its_pitch_is() -> None:
    low, high = (log_mel(tone(hertz)).mean(axis=1).argmax() for hertz in (500, 4000))
    assert low < 25 < 55 < high < 80


def test_a_sound_is_drawn_as_waveform_over_spectrogram() -> None:
    picture = np.asarray(picture_of(np.concatenate([tone(500), 0.1 * tone(500)]), 100, 90), dtype=int)
    waveform = picture[:30, :, 2] < 255
    loud, soft = waveform[:, :50].sum(), waveform[:, 50:].sum()
    assert loud > 4 * soft
    assert picture[30:].std() > 20


def test_stored_clips_are_what_was_encoded(sounds: DatasetDict) -> None:
    value = sounds["test"][2]["audio"]
    assert io.BytesIO(value["bytes"]).read(4) == b"OggS"
    assert np.abs(np.fft.rfft(decode(value))[: 2 * RATE]).argmax() == pytest.approx(500, abs=3)
