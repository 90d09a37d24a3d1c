import json
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DatasetDict
from PIL import Image

from hfmm.data import disable_media_decoding, folder
from hfmm.errors import UserError


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Write pictures at these places below a folder."""

    def write(*names: str, root: str = "photos") -> Path:
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(path)
        return tmp_path / root

    return write


def read(path: Path, **options: object) -> DatasetDict:
    return disable_media_decoding(
        folder.build(folder.FolderOptions.model_validate({"path": str(path), **options}), path.parent / "cache")
    )


def classes(data: DatasetDict) -> list[str]:
    """Return class and file of every row."""
    names = data["train"].features["label"].names
    return sorted(f"{names[row['label']]}/{Path(row['image']['path']).name}" for rows in data.values() for row in rows)


@pytest.mark.parametrize(
    "names", [("steam train", "toy train", "bus", "car"), ("bus", "car", "train"), ("test", "val", "eval-2")]
)
def test_a_class_may_be_called_like_a_split(pictures: Callable[..., Path], names: tuple[str, ...]) -> None:
    places = [f"{name}/{index}.png" for name in names for index in range(3)]
    assert classes(read(pictures(*places))) == sorted(places)


def test_a_picture_may_be_called_like_a_split(pictures: Callable[..., Path]) -> None:
    places = [f"{name}/{index}.png" for name in ("cat", "dog") for index in ("on the train", "test", 3)]
    assert classes(read(pictures(*places))) == sorted(places)


def test_a_class_folder_that_is_a_symlink_is_a_class(pictures: Callable[..., Path], tmp_path: Path) -> None:
    pictures("1.png", "2.png", "3.png", root="forgetting")
    path = pictures("cat/4.png", "cat/5.png", "cat/6.png")
    (path / "dog").symlink_to(tmp_path / "forgetting")
    (path / "dog" / "back").symlink_to(path)
    (path / "dog" / "itself").symlink_to(tmp_path / "forgetting")
    assert classes(read(path)) == ["cat/4.png", "cat/5.png", "cat/6.png", "dog/1.png", "dog/2.png", "dog/3.png"]


def test_a_folder_may_hold_brackets(pictures: Callable[..., Path]) -> None:
    places = [f"{name}/{index}.png" for name in ("cat", "dog [old]") for index in range(3)]
    assert classes(read(pictures(*places, root="photos [2024]*"))) == sorted(places)


def test_what_is_hidden_or_no_picture_is_passed_over(pictures: Callable[..., Path]) -> None:
    path = pictures(*(f"{name}/{index}.PNG" for name in ("cat", "dog") for index in range(3)), "__MACOSX/cat/0.png")
    (path / "cat" / "._0.png").write_bytes(b"")
    (path / ".DS_Store").write_bytes(b"")
    (path / "notes.txt").write_text("by Anna")
    assert len(classes(read(path))) == 6


@pytest.mark.parametrize("odd", ["cover.jpg", "cat/more/7.png"])
def test_a_picture_outside_the_class_folders_is_named(pictures: Callable[..., Path], odd: str) -> None:
    path = pictures("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", odd)
    with pytest.raises(UserError, match=rf"data.path: \S+/{odd} lies at another depth than \S+/cat/0.png"):
        read(path)


@pytest.mark.parametrize(
    "names", [("train", "validation", "test"), ("training", "val", "eval"), ("Train", "Dev", "Test")]
)
@pytest.mark.parametrize("above", ["", "data/"])
def test_folders_named_as_splits_are_splits(pictures: Callable[..., Path], names: tuple[str, ...], above: str) -> None:
    places = [f"{above}{split}/{name}/{index}.png" for split in names for name in ("a", "b") for index in range(2)]
    data = read(pictures(*places))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 4, "validation": 4, "test": 4}
    for name, rows in zip(names, data.values(), strict=True):
        assert {Path(row["image"]["path"]).parts[-3] for row in rows} == {name}
        assert rows["label"][:] == [0, 0, 1, 1]


@pytest.mark.parametrize("odd", ["cover.png", "extra/a/0.png"])
def test_a_picture_beside_the_splits_is_named(pictures: Callable[..., Path], odd: str) -> None:
    path = pictures(*(f"{split}/{name}/0.png" for split in ("train", "test") for name in ("a", "b")), odd)
    with pytest.raises(UserError, match=rf"data.path: \S+/{odd} lies beside the folder of the training split"):
        read(path)


def test_a_table_says_what_is_in_pictures_of_any_name(pictures: Callable[..., Path]) -> None:
    path = pictures(*(f"on the train {index}.png" for index in range(6)), root="photos [2024]")
    lines = [f"on the train {index}.png,{'ab'[index % 2]}" for index in range(6)]
    (path / "metadata.csv").write_text("\n".join(["file_name,species", *lines]))
    data = read(path, columns={"label": "species"})
    assert classes(data) == sorted(f"{'ab'[index % 2]}/on the train {index}.png" for index in range(6))


def test_each_split_may_have_its_table(pictures: Callable[..., Path]) -> None:
    for split in ("train", "validation", "test"):
        path = pictures(f"{split}/0.png")
        (path / split / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "captions": [split]}))
    assert {split: rows["captions"][:] for split, rows in read(path).items()} == {
        "train": [["train"]],
        "validation": [["validation"]],
        "test": [["test"]],
    }
