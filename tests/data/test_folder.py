import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Audio, ClassLabel, Dataset, DatasetDict, List
from PIL import Image

from hfmm.data import disable_media_decoding, fingerprint, folder
from hfmm.data.common.audio import AUDIO_FEATURE, decode, decode_rows, encode
from hfmm.data.common.screening import require_columns
from hfmm.errors import UserError


def build(path: Path, cache: Path, **options: object) -> DatasetDict:
    return folder.build(folder.FolderOptions.model_validate({"path": str(path), **options}), cache / "cache")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        for index in range(10):
            path = tmp_path / "photos" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (index * 20, 0, 0)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "train", **columns: list[object]) -> Path:
        path = tmp_path / "table" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        Dataset.from_dict(columns).to_parquet(str(path))
        return path.parent

    return write


def test_class_folders_become_labels_and_missing_splits_come_from_train(photos: Path, tmp_path: Path) -> None:
    data = build(photos, tmp_path)
    assert data["train"].features["label"].names == ["cat", "dog"]
    assert {split: len(rows) for split, rows in data.items()} == {"train": 14, "validation": 2, "test": 4}
    assert {"id", "image", "label", "group"} <= set(data["train"].column_names)
    ids = [row_id for rows in data.values() for row_id in rows["id"][:]]
    assert len(set(ids)) == 20


def test_columns_are_renamed_and_text_labels_become_classes(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(photo=["x"] * 12, species=["b", "a"] * 6)
    data = build(path, tmp_path, columns={"image": "photo", "label": "species"})
    assert data["train"].features["label"] == ClassLabel(names=["a", "b"])
    assert "image" in data["train"].column_names


def test_two_columns_can_have_the_same_source(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 12, species=["b", "a"] * 6)
    rows = build(path, tmp_path, columns={"label": "species", "group": "species"})["train"]
    assert sorted(rows.column_names) == ["group", "id", "image", "label"]
    assert [rows.features["label"].names[index] for index in rows["label"][:]] == rows["group"][:]


def test_two_columns_can_swap_names(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(text=["b", "a"] * 6, label=["She works."] * 12)
    rows = build(path, tmp_path, columns={"text": "label", "label": "text"})["train"]
    assert set(rows["text"][:]) == {"She works."}
    assert rows.features["label"].names == ["a", "b"]


def test_a_renamed_column_frees_its_old_name(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(label=["anna", "ben", "cleo"] * 4, id_class=[7, 8, 9, 7] * 3)
    rows = build(path, tmp_path, columns={"label": "id_class", "group": "label"})["train"]
    assert rows.features["label"].names == ["7", "8", "9"]
    assert set(rows["group"][:]) <= {"anna", "ben", "cleo"}
    assert "id_class" not in rows.column_names


def test_a_list_of_one_source_column_works_like_the_column_itself(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(photo=["x"] * 12, species=["b", "a"] * 6)
    rows = build(path, tmp_path, columns={"image": ["photo"], "label": ["species"]})["train"]
    assert sorted(rows.column_names) == ["group", "id", "image", "label"]
    assert rows.features["label"] == ClassLabel(names=["a", "b"])


def test_a_column_can_be_part_of_the_label_and_the_group(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(tense=["past", "present"] * 6, person=["1sg", "2sg", "3sg"] * 4)
    rows = build(path, tmp_path, columns={"label": ["tense", "person"], "group": "person"})["test"]
    assert rows["group"][:] == rows["person"][:]


def test_a_single_caption_becomes_a_list(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 12, caption=["a dog", *[None] * 11])
    data = build(path, tmp_path, columns={"captions": "caption"})
    captions = [row_captions for rows in data.values() for row_captions in rows["captions"][:]]
    assert sorted(captions) == [[]] * 11 + [["a dog"]]


def test_several_label_columns_become_attributes_of_one_label(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 12, tense=["past", "present"] * 6, person=["1sg", "1sg", "2sg"] * 4)
    data = build(path, tmp_path, columns={"label": ["tense", "person"]})
    feature = data["train"].features["label"]
    assert isinstance(feature, List)
    names = feature.feature.names
    assert names == ["tense: past", "tense: present", "person: 1sg", "person: 2sg"]
    row = data["train"][0]
    assert [names[index] for index in row["label"]] == [f"tense: {row['tense']}", f"person: {row['person']}"]


def test_an_exported_dataset_can_be_loaded(tmp_path: Path) -> None:
    from hfmm.hub.dataset import build_and_save

    small = ["train=20", "validation=5", "test=6", "size=32", "label=tense"]
    build_and_save("icons", small, tmp_path / "icons", 1)
    data = build(tmp_path / "icons", tmp_path)
    assert {split: len(rows) for split, rows in data.items()} == {"train": 20, "validation": 5, "test": 6}
    assert data["test"].features["label"].num_classes == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": {"image": "foto"}},
            "data.columns.image: the train split has no column 'foto'; it has image, label.",
        ),
        ({"columns": {"image": ["image", "label"]}}, "only the label can be made from several columns"),
        (
            {"columns": {"label": ["image", "label"], "image": "label"}},
            "made from the column 'image', so no other column can",
        ),
    ],
)
def test_an_invalid_column_mapping_is_reported(photos: Path, tmp_path: Path, options: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError) as error:
        build(photos, tmp_path, **options)
    assert message in str(error.value)


def test_a_label_that_is_missing_in_train_is_reported_with_its_row(table: Callable[..., Path], tmp_path: Path) -> None:
    table(image=["x"] * 3, label=["a", "b", "a"])
    path = table("test", image=["x"] * 2, label=["a", "zebra"])
    with pytest.raises(UserError, match="split test, row 1: the label 'zebra' does not occur"):
        build(path, tmp_path)
    table(image=["x"] * 3, label=["a", "b", "a"], id=["one", "two", "three"])
    path = table("test", image=["x"] * 2, label=["a", "zebra"], id=["four", "five"])
    with pytest.raises(UserError, match="split test, row five: the label 'zebra' does not occur"):
        build(path, tmp_path)


def test_a_class_folder_that_is_missing_in_train_is_reported_with_an_image(photos: Path, tmp_path: Path) -> None:
    for name in ("cat", "brid"):
        shutil.copytree(photos / "cat", tmp_path / "splits" / "test" / name)
    shutil.copytree(photos, tmp_path / "splits" / "train")
    with pytest.raises(
        UserError, match=r"split test, row \S+/test/brid/0.png: the label 'brid' does not occur .* cat, dog"
    ):
        build(tmp_path / "splits", tmp_path)


def test_a_class_is_kept_when_its_only_row_goes_to_test(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 13, label=["zebra", *["a", "b"] * 6])
    is_trained = []
    for seed in range(4):
        data = build(path, tmp_path, seed=seed, test=0.5)
        assert data["train"].features["label"].names == ["a", "b", "zebra"]
        is_trained.append(2 in data["train"]["label"][:])
    assert not all(is_trained)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([True, False], ["False", "True"]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        ([7, 10], ["10", "7"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_labels_of_any_type_become_classes_and_empty_ones_none(
    table: Callable[..., Path], tmp_path: Path, labels: list[object], names: list[str]
) -> None:
    data = build(table(key=list(range(12)), label=[*labels * 5, None, labels[0]]), tmp_path)
    assert data["train"].features["label"].names == names
    label_by_key = {row["key"]: row["label"] for rows in data.values() for row in rows}
    expected = [str(label) for label in [*labels * 5, None, labels[0]]]
    assert [label_by_key[key] for key in range(12)] == [
        names.index(text) if text != "None" else None for text in expected
    ]


def test_an_empty_cell_in_several_label_columns_becomes_none(table: Callable[..., Path], tmp_path: Path) -> None:
    columns = {"key": list(range(12)), "tense": [None, *["past"] * 11], "person": [0, -1, None, *[1] * 9]}
    rows = Dataset.from_dict(columns).cast_column("person", ClassLabel(names=["1sg", "2sg"]))
    rows.to_parquet(str(tmp_path / "train.parquet"))
    data = build(tmp_path / "train.parquet", tmp_path, columns={"label": ["tense", "person"]})
    assert data["train"].features["label"].feature.names == ["tense: past", "person: 1sg", "person: 2sg"]
    label_by_key = {row["key"]: row["label"] for rows in data.values() for row in rows}
    assert [label_by_key[key] for key in range(4)] == [[None, 1], [0, None], [0, None], [0, 2]]


def test_several_values_in_one_label_column_raise_an_error(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 12, tags=[["a", "b"]] * 12)
    with pytest.raises(UserError, match="the column 'label' holds more than one value per row"):
        build(path, tmp_path, columns={"label": "tags"})


def test_speakers_mapped_to_groups_stay_in_one_split(table: Callable[..., Path], tmp_path: Path) -> None:
    speakers = [name for name in "abcdef" for _ in range(4)]
    data = build(table(audio=["x"] * 24, speaker=speakers), tmp_path, columns={"group": "speaker"})
    groups = {split: set(rows["group"][:]) for split, rows in data.items()}
    assert {split: len(names) for split, names in groups.items()} == {"train": 4, "validation": 1, "test": 1}
    assert set.union(*groups.values()) == {*"abcdef"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nothing", "does not exist"),
        (
            lambda folder: (folder / "empty").mkdir() or folder / "empty",
            "contains no images, no recordings and no Parquet files",
        ),
        (lambda folder: (folder / "a.csv").write_text("a") and folder / "a.csv", "a file but not Parquet"),
    ],
)
def test_a_path_without_data_raises_an_error(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(make(tmp_path), tmp_path)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Write twelve clips in four formats and sampling rates, and their transcripts in metadata.csv."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    lines = ["file_name,transcript,speaker"]
    for index in range(12):
        extension, rate = [("wav", 44_100), ("flac", 96_000), ("ogg", 22_050), ("mp3", 48_000)][index % 4]
        audio = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
        soundfile.write(folder / f"{index}.{extension}", np.stack([audio, audio], axis=1), rate)
        lines.append(f"{index}.{extension},He works {index} hours.,{'ab'[index % 2]}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def test_recordings_with_transcripts_need_no_label(recordings: Path, tmp_path: Path) -> None:
    data = build(recordings, tmp_path, columns={"text": "transcript"})
    assert {split: len(rows) for split, rows in data.items()} == {"train": 9, "validation": 1, "test": 2}
    assert "label" not in data["train"].column_names
    for row in disable_media_decoding(data)["train"]:
        assert row["text"] == f"He works {row['id'].partition('.')[0]} hours."
        assert abs(len(decode(row["audio"])) - 16_000) < 2000
    assert len(fingerprint(disable_media_decoding(data))) == 64


def test_a_recording_that_is_missing_on_disk_is_an_invalid_row(recordings: Path, tmp_path: Path) -> None:
    (recordings / "4.wav").unlink()
    data = disable_media_decoding(build(recordings, tmp_path, columns={"text": "transcript"}))
    missing = next(row for rows in data.values() for row in rows if row["id"] == "4.wav")
    with pytest.raises(UserError, match=r"row 4.wav: 4.wav does not exist"):
        decode_rows([missing])


def test_recordings_can_be_in_split_folders(recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    for split in ("train", "validation", "test"):
        shutil.copytree(recordings, tmp_path / "splits" / split)
    data = build(tmp_path / "splits", tmp_path, columns={"text": "transcript"})
    assert {split: len(rows) for split, rows in data.items()} == {"train": 12, "validation": 12, "test": 12}


def test_a_column_that_is_missing_in_one_split_is_reported_with_the_split(recordings: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        shutil.copytree(recordings, tmp_path / "splits" / split)
    (tmp_path / "splits/test/metadata.csv").write_text("file_name,text\n0.wav,He works.")
    with pytest.raises(UserError, match=r"data.columns.text: the test split has no column 'transcript'; it has text"):
        build(tmp_path / "splits", tmp_path, columns={"text": "transcript"})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "contains audio files but no metadata file. Write .*metadata.csv"),
        ("path,transcript\n0.wav,He works.", "metadata.csv has no column 'file_name'; it has path, transcript"),
    ],
)
def test_recordings_without_valid_metadata_raise_an_error(
    recordings: Path, tmp_path: Path, table: str | None, message: str
) -> None:
    (recordings / "metadata.csv").unlink()
    if table is not None:
        (recordings / "metadata.csv").write_text(table)
    with pytest.raises(UserError, match=message):
        build(recordings, tmp_path)


def test_exported_speech_can_be_loaded(tmp_path: Path) -> None:
    from hfmm.hub.dataset import save_dataset

    audio = 0.3 * np.sin(np.arange(16_000))
    rows = Dataset.from_dict({"audio": [encode(audio)] * 6, "text": [str(index) for index in range(6)]})
    rows = rows.cast_column("audio", AUDIO_FEATURE)
    save_dataset(DatasetDict({"train": rows}), tmp_path / "out", name="out", command="x", description="x")
    data = disable_media_decoding(build(tmp_path / "out", tmp_path))
    assert data["train"].features["audio"] == Audio(sampling_rate=16_000, decode=False)
    assert np.allclose(decode(data["test"][0]["audio"]), audio, atol=1e-4)


def test_images_without_labels_fail_at_the_column_that_the_task_requires(tmp_path: Path) -> None:
    for index in range(10):
        (tmp_path / "plain").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (index * 20, 0, 0)).save(tmp_path / "plain" / f"{index}.png")
    data = build(tmp_path / "plain", tmp_path)
    with pytest.raises(UserError, match=r"has no column 'label'; it has image, id, group\. Map"):
        require_columns(("image", "label"), data)
