import json
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DatasetDict
from PIL import Image

from hfmm.data import disable_media_decoding, folder
from hfmm.errors import UserError


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes images at the given paths in a folder."""

    def write(*paths: str, root: str = "photos") -> Path:
        for relative in paths:
            path = tmp_path / root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(path)
        return tmp_path / root

    return write


def load_folder(path: Path, **options: object) -> DatasetDict:
    return disable_media_decoding(
        folder.build(folder.FolderOptions.model_validate({"path": str(path), **options}), path.parent / "cache")
    )


def labeled_files(data: DatasetDict) -> list[str]:
    """Return the class and the file name of every row."""
    names = data["train"].features["label"].names
    return sorted(f"{names[row['label']]}/{Path(row['image']['path']).name}" for rows in data.values() for row in rows)


@pytest.mark.parametrize(
    "names", [("steam train", "toy train", "bus", "car"), ("bus", "car", "train"), ("test", "val", "eval-2")]
)
def test_class_may_have_the_name_of_a_split(write_images: Callable[..., Path], names: tuple[str, ...]) -> None:
    paths = [f"{name}/{index}.png" for name in names for index in range(3)]
    assert labeled_files(load_folder(write_images(*paths))) == sorted(paths)


def test_image_may_have_the_name_of_a_split(write_images: Callable[..., Path]) -> None:
    paths = [f"{name}/{index}.png" for name in ("cat", "dog") for index in ("on the train", "test", 3)]
    assert labeled_files(load_folder(write_images(*paths))) == sorted(paths)


def test_symlinked_class_folder_is_a_class(write_images: Callable[..., Path], tmp_path: Path) -> None:
    write_images("1.png", "2.png", "3.png", root="forgetting")
    path = write_images("cat/4.png", "cat/5.png", "cat/6.png")
    (path / "dog").symlink_to(tmp_path / "forgetting")
    (path / "dog" / "back").symlink_to(path)
    (path / "dog" / "itself").symlink_to(tmp_path / "forgetting")
    assert labeled_files(load_folder(path)) == [
        "cat/4.png",
        "cat/5.png",
        "cat/6.png",
        "dog/1.png",
        "dog/2.png",
        "dog/3.png",
    ]


def test_brackets_in_folder_names(write_images: Callable[..., Path]) -> None:
    paths = [f"{name}/{index}.png" for name in ("cat", "dog [old]") for index in range(3)]
    assert labeled_files(load_folder(write_images(*paths, root="photos [2024]*"))) == sorted(paths)


def test_hidden_files_and_other_file_types_are_ignored(write_images: Callable[..., Path]) -> None:
    path = write_images(*(f"{name}/{index}.PNG" for name in ("cat", "dog") for index in range(3)), "__MACOSX/cat/0.png")
    (path / "cat" / "._0.png").write_bytes(b"")
    (path / ".DS_Store").write_bytes(b"")
    (path / "notes.txt").write_text("by Anna")
    assert len(labeled_files(load_folder(path))) == 6


@pytest.mark.parametrize("misplaced", ["cover.jpg", "cat/more/7.png"])
def test_image_outside_class_folders_is_reported(write_images: Callable[..., Path], misplaced: str) -> None:
    path = write_images("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", misplaced)
    with pytest.raises(
        UserError, match=rf"data.path: \S+/{misplaced} is at a different folder depth than \S+/cat/0.png"
    ):
        load_folder(path)


@pytest.mark.parametrize(
    "names", [("train", "validation", "test"), ("training", "val", "eval"), ("Train", "Dev", "Test")]
)
@pytest.mark.parametrize("parent", ["", "data/"])
def test_folders_with_split_names_are_splits(
    write_images: Callable[..., Path], names: tuple[str, ...], parent: str
) -> None:
    paths = [f"{parent}{split}/{name}/{index}.png" for split in names for name in ("a", "b") for index in range(2)]
    data = load_folder(write_images(*paths))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 4, "validation": 4, "test": 4}
    for name, rows in zip(names, data.values(), strict=True):
        assert {Path(row["image"]["path"]).parts[-3] for row in rows} == {name}
        assert rows["label"][:] == [0, 0, 1, 1]


@pytest.mark.parametrize("misplaced", ["cover.png", "extra/a/0.png"])
def test_image_outside_split_folders_is_reported(write_images: Callable[..., Path], misplaced: str) -> None:
    path = write_images(*(f"{split}/{name}/0.png" for split in ("train", "test") for name in ("a", "b")), misplaced)
    with pytest.raises(UserError, match=rf"data.path: \S+/{misplaced} is outside the split folders"):
        load_folder(path)


def test_metadata_labels_images_with_split_names(write_images: Callable[..., Path]) -> None:
    path = write_images(*(f"on the train {index}.png" for index in range(6)), root="photos [2024]")
    lines = [f"on the train {index}.png,{'ab'[index % 2]}" for index in range(6)]
    (path / "metadata.csv").write_text("\n".join(["file_name,species", *lines]))
    data = load_folder(path, columns={"label": "species"})
    assert labeled_files(data) == sorted(f"{'ab'[index % 2]}/on the train {index}.png" for index in range(6))


def test_each_split_may_have_its_own_metadata(write_images: Callable[..., Path]) -> None:
    for split in ("train", "validation", "test"):
        path = write_images(f"{split}/0.png")
        (path / split / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "captions": [split]}))
    assert {split: rows["captions"][:] for split, rows in load_folder(path).items()} == {
        "train": [["train"]],
        "validation": [["validation"]],
        "test": [["test"]],
    }
