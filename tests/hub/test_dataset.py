import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import Audio, Dataset, DatasetDict, load_dataset
from huggingface_hub import DatasetCard
from PIL import Image

from hfmm.card.spectrogram import draw_waveform_and_mel, log_mel
from hfmm.data import disable_media_decoding
from hfmm.data.common.audio import AUDIO_FEATURE, SAMPLE_RATE, decode, encode
from hfmm.errors import UserError
from hfmm.hub.dataset import build_and_save, save_dataset


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


@pytest.fixture
def sounds() -> DatasetDict:
    def rows(count: int, speaker: str) -> Dataset:
        columns = {
            "id": [f"{index}" for index in range(count)],
            "audio": [encode(tone(300 + 100 * index), codec="opus") for index in range(count)],
            "text": [f"Number {index}." for index in range(count)],
            "speaker": [speaker] * count,
        }
        return Dataset.from_dict(columns).cast_column("audio", AUDIO_FEATURE)

    return DatasetDict({"train": rows(6, "heart"), "validation": rows(2, "awb"), "test": rows(3, "rms")})


@pytest.fixture
def folder(tmp_path: Path, sounds: DatasetDict) -> Path:
    save_dataset(sounds, tmp_path / "sounds", name="sounds", command="hfmm data sounds", description="Numbers.")
    return tmp_path / "sounds"


def test_exported_audio_is_loaded_unchanged(folder: Path, sounds: DatasetDict, tmp_path: Path) -> None:
    data = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert data["train"].features["audio"] == Audio(sampling_rate=SAMPLE_RATE)
    for split, rows in data.cast_column("audio", AUDIO_FEATURE).items():
        assert rows["audio"][:] == sounds[split]["audio"][:]


def test_snippet_of_an_audio_card_prints_the_output_in_the_card(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    printed = re.search(r"```\n([^`]*)\n```\n\n## How", card)
    assert code and printed
    environment = {**os.environ, "HF_HOME": str(folder.parent / "home")}
    completed = subprocess.run(
        [sys.executable, "-c", code[1]], cwd=folder.parent, env=environment, capture_output=True, text=True
    )
    assert completed.stdout.strip() == printed[1].strip(), completed.stderr


def test_audio_card_has_durations_and_voice_licenses(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "automatic-speech-recognition" in card
    assert "| train | 6 | 0.1 | 1.0 |" in card
    assert "`speaker`: 1 value in test, 0 of them also in train." in card
    assert "| rms | 3 test | man, American, statistical | CMU's licence of flite (BSD-like) |" in card
    assert "| heart | 6 train |" in card


def test_non_empty_folder_is_not_overwritten(folder: Path, sounds: DatasetDict) -> None:
    with pytest.raises(UserError, match="is not empty"):
        save_dataset(sounds, folder, name="x", command="x", description="x")


def test_log_mel_peak_follows_the_pitch_of_a_tone() -> None:
    low, high = (log_mel(tone(hertz)).mean(axis=1).argmax() for hertz in (500, 4000))
    assert low < 25 < 55 < high < 80


def test_waveform_is_drawn_above_the_spectrogram() -> None:
    image = np.asarray(draw_waveform_and_mel(np.concatenate([tone(500), 0.1 * tone(500)]), 100, 90), dtype=int)
    waveform = image[:30, :, 2] < 255
    loud, soft = waveform[:, :50].sum(), waveform[:, 50:].sum()
    assert loud > 4 * soft
    assert image[30:].std() > 20


def test_stored_audio_decodes_to_the_encoded_tone(sounds: DatasetDict) -> None:
    value = sounds["test"][2]["audio"]
    assert io.BytesIO(value["bytes"]).read(4) == b"OggS"
    assert np.abs(np.fft.rfft(decode(value))[: 2 * SAMPLE_RATE]).argmax() == pytest.approx(500, abs=3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        for index in range(6):
            path = tmp_path / "photos" / name / f"{name}{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8 + index, 8), (index * 20, 0, 0)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for index in range(10):
        soundfile.write(folder / f"{index}.wav", tone(300 + 100 * index), SAMPLE_RATE, subtype="FLOAT")
    lines = ["file_name,transcript", *(f"{index}.wav,Number {index}." for index in range(10))]
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def read(folder: Path) -> DatasetDict:
    return disable_media_decoding(load_dataset(str(folder), cache_dir=str(folder.parent / "cache")))


def all_rows(data: DatasetDict) -> list[dict]:  # type: ignore[type-arg]
    return [row for rows in data.values() for row in rows]


def test_user_images_are_embedded_in_the_export(photos: Path, tmp_path: Path) -> None:
    build_and_save("folder", [f"path={photos}"], tmp_path / "out", 1)
    files = {path.name: path.read_bytes() for path in photos.rglob("*.png")}
    shutil.rmtree(photos)
    assert {row["image"]["path"]: row["image"]["bytes"] for row in all_rows(read(tmp_path / "out"))} == files


def test_user_recordings_are_embedded_in_the_export(recordings: Path, tmp_path: Path) -> None:
    build_and_save("folder", [f"path={recordings}", "columns={text: transcript}"], tmp_path / "out", 1)
    shutil.rmtree(recordings)
    rows = all_rows(read(tmp_path / "out"))
    assert len(rows) == 10
    for row in rows:
        index = int(row["text"].strip("Number ."))
        assert row["audio"]["path"] == f"{index}.wav"
        assert np.array_equal(decode(row["audio"]), tone(300 + 100 * index))


def test_exported_audio_can_be_exported_again_as_user_data(folder: Path, sounds: DatasetDict, tmp_path: Path) -> None:
    build_and_save("folder", [f"path={folder}"], tmp_path / "second", 1)
    for split, rows in read(tmp_path / "second").items():
        assert rows["audio"][:] == sounds[split]["audio"][:]


def test_missing_recording_raises_with_its_row(recordings: Path, tmp_path: Path) -> None:
    (recordings / "4.wav").unlink()
    with pytest.raises(UserError, match=r"(train|validation|test), row \d+: 4\.wav does not exist"):
        build_and_save("folder", [f"path={recordings}"], tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_damaged_image_raises_with_its_row(photos: Path, tmp_path: Path) -> None:
    (photos / "cat/cat3.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"(train|validation|test), row \d+: cat3\.png is not an image"):
        build_and_save("folder", [f"path={photos}"], tmp_path / "out", 1)


def test_damaged_clip_outside_the_contact_sheet_raises_with_its_row(tmp_path: Path) -> None:
    clips = [encode(tone(500))] * 19 + [{"bytes": b"not audio", "path": None}]
    rows = Dataset.from_dict({"audio": clips, "text": ["x"] * 20}).cast_column("audio", AUDIO_FEATURE)
    with pytest.raises(UserError, match="train, row 19: the clip is not audio that libsndfile can read"):
        save_dataset(DatasetDict({"train": rows}), tmp_path / "out", name="x", command="x", description="x")


@pytest.mark.parametrize("source", ["photos", "recordings"])
def test_card_of_user_data_has_no_license_language_or_claims(
    source: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    build_and_save("folder", [f"path={request.getfixturevalue(source)}"], tmp_path / "out", 1)
    card = DatasetCard.load(tmp_path / "out/README.md")
    assert not {"license", "language"} & set(card.data.to_dict())
    assert card.data.tags == ["hfmm"]
    assert not [text for text in ("drawn", "synthetic", "licensed as", str(tmp_path)) if text in card.content]
    assert f"`hfmm data folder --set path={source} --out out` with hfmm. hfmm only converted the rows" in card.content


@pytest.fixture
def check_snippet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], None]:
    """Run the snippet of a dataset card in the parent folder and compare its output with the card."""

    def check(folder: Path) -> None:
        card = (folder / "README.md").read_text()
        code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
        printed = re.search(r"```\n([^`]*)\n```\n\n## How", card)
        assert code and printed
        monkeypatch.chdir(folder.parent)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder.parent / "home")
        capsys.readouterr()
        exec(code[1], {})
        assert capsys.readouterr().out.strip() == printed[1].strip()

    return check


@pytest.mark.parametrize("builder", ["icons", "shapes", "pages", "visual_questions", "text_questions"])
def test_snippet_of_every_builtin_dataset_card_runs(
    builder: str, check_snippet: Callable[[Path], None], tmp_path: Path
) -> None:
    size = [] if builder == "text_questions" else ["size=32"]
    build_and_save(builder, ["train=4", "validation=2", "test=2", *size], tmp_path / builder, 1)
    check_snippet(tmp_path / builder)
    assert DatasetCard.load(tmp_path / builder / "README.md").data.license == "apache-2.0"


@pytest.mark.parametrize(
    ("source", "columns"), [("photos", "{}"), ("recordings", "{}"), ("recordings", "{text: transcript}")]
)
def test_snippet_of_a_user_dataset_card_runs(
    source: str, columns: str, request: pytest.FixtureRequest, check_snippet: Callable[[Path], None], tmp_path: Path
) -> None:
    path = request.getfixturevalue(source)
    build_and_save("folder", [f"path={path}", f"columns={columns}"], tmp_path / "out", 1)
    check_snippet(tmp_path / "out")


def test_snippet_of_a_table_without_media_runs(check_snippet: Callable[[Path], None], tmp_path: Path) -> None:
    table = tmp_path / "table.parquet"
    Dataset.from_dict({"text": [f"Number {index}." for index in range(10)]}).to_parquet(table)
    build_and_save("folder", [f"path={table}"], tmp_path / "out", 1)
    check_snippet(tmp_path / "out")


def test_second_export_contains_the_current_images(photos: Path, tmp_path: Path) -> None:
    for count in (12, 13):
        build_and_save("folder", [f"path={photos}"], tmp_path / "out", 1, repo="me/photos")
        files = (tmp_path / "out").rglob("*.parquet")
        assert sum(pq.read_metadata(file).num_rows for file in files) == count
        shutil.copy(photos / "cat/cat0.png", photos / "cat/cat9.png")


def test_card_edits_are_kept_if_the_images_are_unchanged(photos: Path, tmp_path: Path) -> None:
    build_and_save("folder", [f"path={photos}"], tmp_path / "out", 1, repo="me/photos")
    card = tmp_path / "out/README.md"
    card.write_text(card.read_text().replace("---", "---\nlicense: cc0-1.0", 1))
    build_and_save("folder", [f"path={photos}"], tmp_path / "out", 1, repo="me/photos")
    assert "license: cc0-1.0" in card.read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("columns={image: a", "--set columns={image: a: 'columns' is '{image: a': input should be a valid dictionary"),
        ("columns", "--set columns: write it as key=value"),
    ],
)
def test_invalid_option_raises_with_its_text(photos: Path, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        build_and_save("folder", [f"path={photos}", override], tmp_path / "out", 1)
    assert message in str(error.value)
