from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, List
from PIL import Image

from hfmm.data import folder
from hfmm.errors import UserError


def build(path: Path, cache: Path, **options: object) -> DatasetDict:
    return folder.build(folder.Options.model_validate({"path": str(path), **options}), cache / "cache")


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
    from hfmm.data.export import export_builder

    small = ["train=20", "validation=5", "test=6", "size=32", "label=tense"]
    export_builder("icons", small, tmp_path / "icons", 1)
    data = build(tmp_path / "icons", tmp_path)
    assert {split: len(rows) for split, rows in data.items()} == {"train": 20, "validation": 5, "test": 6}
    assert data["test"].features["label"].num_classes == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {"image": "foto"}}, "data.columns.image: the data has no column 'foto'; it has image, label."),
        ({"columns": {"image": ["image", "label"]}}, "only the label may come from several columns"),
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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nothing", "does not exist"),
        (lambda folder: (folder / "empty").mkdir() or folder / "empty", "no images and no Parquet files"),
        (lambda folder: (folder / "a.csv").write_text("a") and folder / "a.csv", "a file but not Parquet"),
    ],
)
def test_a_path_that_is_no_data_says_so(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(make(tmp_path), tmp_path)
