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


def test_class_folders_become_labels_and_missing_splits_are_taken_from_training(photos: Path, tmp_path: Path) -> None:
    data = build(photos, tmp_path)
    assert data["train"].features["label"].names == ["cat", "dog"]
    assert {split: len(rows) for split, rows in data.items()} == {"train": 14, "validation": 2, "test": 4}
    assert {"id", "image", "label", "group"} <= set(data["train"].column_names)
    everything = [row for rows in data.values() for row in rows["id"][:]]
    assert len(set(everything)) == 20


def test_columns_are_mapped_and_text_labels_become_classes(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(photo=["x"] * 12, species=["b", "a"] * 6)
    data = build(path, tmp_path, columns={"image": "photo", "label": "species"})
    assert data["train"].features["label"] == ClassLabel(names=["a", "b"])
    assert "image" in data["train"].column_names


def test_two_columns_of_ours_may_come_from_one_of_theirs(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 12, species=["b", "a"] * 6)
    rows = build(path, tmp_path, columns={"label": "species", "group": "species"})["train"]
    assert sorted(rows.column_names) == ["group", "id", "image", "label"]
    assert [rows.features["label"].names[one] for one in rows["label"][:]] == rows["group"][:]


def test_columns_may_change_names_with_each_other(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(text=["b", "a"] * 6, label=["She works."] * 12)
    rows = build(path, tmp_path, columns={"text": "label", "label": "text"})["train"]
    assert set(rows["text"][:]) == {"She works."}
    assert rows.features["label"].names == ["a", "b"]


def test_a_name_that_is_given_away_may_be_taken_again(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(label=["anna", "ben", "cleo"] * 4, id_class=[7, 8, 9, 7] * 3)
    rows = build(path, tmp_path, columns={"label": "id_class", "group": "label"})["train"]
    assert rows.features["label"].names == ["7", "8", "9"]
    assert set(rows["group"][:]) <= {"anna", "ben", "cleo"}
    assert "id_class" not in rows.column_names


def test_a_list_of_one_column_is_that_column(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(photo=["x"] * 12, species=["b", "a"] * 6)
    rows = build(path, tmp_path, columns={"image": ["photo"], "label": ["species"]})["train"]
    assert sorted(rows.column_names) == ["group", "id", "image", "label"]
    assert rows.features["label"] == ClassLabel(names=["a", "b"])


def test_a_column_may_be_part_of_the_label_and_a_group(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(tense=["past", "present"] * 6, person=["1sg", "2sg", "3sg"] * 4)
    rows = build(path, tmp_path, columns={"label": ["tense", "person"], "group": "person"})["test"]
    assert rows["group"][:] == rows["person"][:]


def test_a_caption_alone_becomes_a_list_of_one(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 12, caption=["a dog", *[None] * 11])
    data = build(path, tmp_path, columns={"captions": "caption"})
    captions = [one for rows in data.values() for one in rows["captions"][:]]
    assert sorted(captions) == [[]] * 11 + [["a dog"]]


def test_several_label_columns_become_attributes(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 12, tense=["past", "present"] * 6, person=["1sg", "1sg", "2sg"] * 4)
    data = build(path, tmp_path, columns={"label": ["tense", "person"]})
    feature = data["train"].features["label"]
    assert isinstance(feature, List)
    names = feature.feature.names
    assert names == ["tense: past", "tense: present", "person: 1sg", "person: 2sg"]
    row = data["train"][0]
    assert [names[index] for index in row["label"]] == [f"tense: {row['tense']}", f"person: {row['person']}"]


def test_an_exported_dataset_comes_back(tmp_path: Path) -> None:
    from hfmm.hub.dataset import build_and_save

    small = ["train=20", "validation=5", "test=6", "size=32", "label=tense"]
    build_and_save("icons", small, tmp_path / "icons", 1)
    data = build(tmp_path / "icons", tmp_path)
    assert {split: len(rows) for split, rows in data.items()} == {"train": 20, "validation": 5, "test": 6}
    assert data["test"].features["label"].num_classes == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"columns": {"image": "foto"}},
            "data.columns.image: the train split has no column 'foto'; it has image, label.",
        ),
        ({"columns": {"image": ["image", "label"]}}, "only the label may come from several columns"),
        ({"columns": {"label": ["image", "label"], "image": "label"}}, "made of the column 'image', so no other can"),
    ],
)
def test_a_wrong_column_map_lists_the_columns(photos: Path, tmp_path: Path, options: dict, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError) as caught:
        build(photos, tmp_path, **options)
    assert words in str(caught.value)


def test_a_label_outside_the_training_classes_names_its_row(table: Callable[..., Path], tmp_path: Path) -> None:
    table(image=["x"] * 3, label=["a", "b", "a"])
    path = table("test", image=["x"] * 2, label=["a", "zebra"])
    with pytest.raises(UserError, match="split test, row 1: the label 'zebra' does not occur"):
        build(path, tmp_path)
    table(image=["x"] * 3, label=["a", "b", "a"], id=["one", "two", "three"])
    path = table("test", image=["x"] * 2, label=["a", "zebra"], id=["four", "five"])
    with pytest.raises(UserError, match="split test, row five: the label 'zebra' does not occur"):
        build(path, tmp_path)


def test_a_class_folder_that_training_lacks_is_named_by_its_picture(photos: Path, tmp_path: Path) -> None:
    for name in ("cat", "brid"):
        shutil.copytree(photos / "cat", tmp_path / "splits" / "test" / name)
    shutil.copytree(photos, tmp_path / "splits" / "train")
    with pytest.raises(
        UserError, match=r"split test, row \S+/test/brid/0.png: the label 'brid' does not occur .* cat, dog"
    ):
        build(tmp_path / "splits", tmp_path)


def test_a_class_stays_one_when_its_only_row_is_drawn_for_the_test(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 13, label=["zebra", *["a", "b"] * 6])
    trained = []
    for seed in range(4):
        data = build(path, tmp_path, seed=seed, test=0.5)
        assert data["train"].features["label"].names == ["a", "b", "zebra"]
        trained.append(2 in data["train"]["label"][:])
    assert not all(trained)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([True, False], ["False", "True"]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        ([7, 10], ["10", "7"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_a_label_of_any_kind_is_a_class_and_an_empty_one_none(
    table: Callable[..., Path], tmp_path: Path, labels: list[object], names: list[str]
) -> None:
    data = build(table(key=list(range(12)), label=[*labels * 5, None, labels[0]]), tmp_path)
    assert data["train"].features["label"].names == names
    found = {row["key"]: row["label"] for rows in data.values() for row in rows}
    expected = [str(one) for one in [*labels * 5, None, labels[0]]]
    assert [found[key] for key in range(12)] == [names.index(one) if one != "None" else None for one in expected]


def test_an_empty_cell_among_several_label_columns_is_no_class(table: Callable[..., Path], tmp_path: Path) -> None:
    columns = {"key": list(range(12)), "tense": [None, *["past"] * 11], "person": [0, -1, None, *[1] * 9]}
    rows = Dataset.from_dict(columns).cast_column("person", ClassLabel(names=["1sg", "2sg"]))
    rows.to_parquet(str(tmp_path / "train.parquet"))
    data = build(tmp_path / "train.parquet", tmp_path, columns={"label": ["tense", "person"]})
    assert data["train"].features["label"].feature.names == ["tense: past", "person: 1sg", "person: 2sg"]
    found = {row["key"]: row["label"] for rows in data.values() for row in rows}
    assert [found[key] for key in range(4)] == [[None, 1], [0, None], [0, None], [0, 2]]


def test_a_label_of_several_values_in_one_column_is_refused(table: Callable[..., Path], tmp_path: Path) -> None:
    path = table(image=["x"] * 12, tags=[["a", "b"]] * 12)
    with pytest.raises(UserError, match="the column 'label' holds more than one value a row"):
        build(path, tmp_path, columns={"label": "tags"})


def test_speakers_that_are_mapped_to_groups_are_not_divided(table: Callable[..., Path], tmp_path: Path) -> None:
    speakers = [name for name in "abcdef" for _ in range(4)]
    data = build(table(audio=["x"] * 24, speaker=speakers), tmp_path, columns={"group": "speaker"})
    heard = {split: set(rows["group"][:]) for split, rows in data.items()}
    assert {split: len(names) for split, names in heard.items()} == {"train": 4, "validation": 1, "test": 1}
    assert set.union(*heard.values()) == {*"abcdef"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nothing", "does not exist"),
        (
            lambda folder: (folder / "empty").mkdir() or folder / "empty",
            "no images, no recordings and no Parquet",
        ),
        (lambda folder: (folder / "a.csv").write_text("a") and folder / "a.csv", "a file but not Parquet"),
    ],
)
def test_a_path_that_is_no_data_says_so(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(make(tmp_path), tmp_path)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Twelve clips of four formats and rates, and a table of what is said in them."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    lines = ["file_name,transcript,speaker"]
    for index in range(12):
        ending, rate = [("wav", 44_100), ("flac", 96_000), ("ogg", 22_050), ("mp3", 48_000)][index % 4]
        sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
        soundfile.write(folder / f"{index}.{ending}", np.stack([sound, sound], axis=1), rate)
        lines.append(f"{index}.{ending},He works {index} hours.,{'ab'[index % 2]}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def test_recordings_with_a_table_of_transcripts_need_no_label(recordings: Path, tmp_path: Path) -> None:
    data = build(recordings, tmp_path, columns={"text": "transcript"})
    assert {split: len(rows) for split, rows in data.items()} == {"train": 9, "validation": 1, "test": 2}
    assert "label" not in data["train"].column_names
    for row in disable_media_decoding(data)["train"]:
        assert row["text"] == f"He works {row['id'].partition('.')[0]} hours."
        assert abs(len(decode(row["audio"])) - 16_000) < 2000
    assert len(fingerprint(disable_media_decoding(data))) == 64


def test_a_recording_that_the_table_names_and_the_folder_lacks_is_a_bad_row(recordings: Path, tmp_path: Path) -> None:
    (recordings / "4.wav").unlink()
    data = disable_media_decoding(build(recordings, tmp_path, columns={"text": "transcript"}))
    bad = next(row for rows in data.values() for row in rows if row["id"] == "4.wav")
    with pytest.raises(UserError, match=r"row 4.wav: 4.wav does not exist"):
        decode_rows([bad])


def test_recordings_may_come_in_split_folders(recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    for split in ("train", "validation", "test"):
        shutil.copytree(recordings, tmp_path / "splits" / split)
    data = build(tmp_path / "splits", tmp_path, columns={"text": "transcript"})
    assert {split: len(rows) for split, rows in data.items()} == {"train": 12, "validation": 12, "test": 12}


def test_a_column_that_one_split_lacks_is_named_with_it(recordings: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        shutil.copytree(recordings, tmp_path / "splits" / split)
    (tmp_path / "splits/test/metadata.csv").write_text("file_name,text\n0.wav,He works.")
    with pytest.raises(UserError, match=r"data.columns.text: the test split has no column 'transcript'; it has text"):
        build(tmp_path / "splits", tmp_path, columns={"text": "transcript"})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (None, "holds recordings and no table of what is said in them. Write .*metadata.csv"),
        ("path,transcript\n0.wav,He works.", "metadata.csv has no column 'file_name'; it has path, transcript"),
    ],
)
def test_recordings_without_a_table_say_what_to_write(
    recordings: Path, tmp_path: Path, table: str | None, words: str
) -> None:
    (recordings / "metadata.csv").unlink()
    if table is not None:
        (recordings / "metadata.csv").write_text(table)
    with pytest.raises(UserError, match=words):
        build(recordings, tmp_path)


def test_exported_speech_comes_back(tmp_path: Path) -> None:
    from hfmm.hub.dataset import save_dataset

    sound = 0.3 * np.sin(np.arange(16_000))
    rows = Dataset.from_dict({"audio": [encode(sound)] * 6, "text": [str(index) for index in range(6)]})
    rows = rows.cast_column("audio", AUDIO_FEATURE)
    save_dataset(DatasetDict({"train": rows}), tmp_path / "out", name="out", command="x", description="x")
    data = disable_media_decoding(build(tmp_path / "out", tmp_path))
    assert data["train"].features["audio"] == Audio(sampling_rate=16_000, decode=False)
    assert np.allclose(decode(data["test"][0]["audio"]), sound, atol=1e-4)


def test_pictures_without_labels_stop_at_the_column_that_the_task_misses(tmp_path: Path) -> None:
    for index in range(10):
        (tmp_path / "plain").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (index * 20, 0, 0)).save(tmp_path / "plain" / f"{index}.png")
    data = build(tmp_path / "plain", tmp_path)
    with pytest.raises(UserError, match=r"has no column 'label'; it has image, id, group\. Map"):
        require_columns(("image", "label"), data)
