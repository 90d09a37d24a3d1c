from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hfmm.data.common.parquet_folder import load_parquet
from hfmm.errors import UserError


def write(folder: Path, split: str, names: list[str], multi_label: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    class_label = ClassLabel(names=names)
    labels = [class_label.str2int(name) for name in names]
    rows = {"name": names, "label": [[label] for label in labels] if multi_label else labels}
    features = Features(name=Value("string"), label=List(class_label) if multi_label else class_label)
    Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    return folder / f"{split}.parquet"


def test_folder_has_one_split_per_file(tmp_path: Path) -> None:
    files = [write(tmp_path / "pets", split, ["cat", "dog"]) for split in ("train", "test")]
    data = load_parquet(tmp_path / "pets", files, tmp_path / "cache")
    assert {split: rows["name"][:] for split, rows in data.items()} == {split: ["cat", "dog"] for split in data}
    assert set(data) == {"train", "test"}


@pytest.mark.parametrize("multi_label", [False, True], ids=["one label", "several"])
@pytest.mark.parametrize("other_names", [["dog", "cat"], ["dog"]], ids=["another order", "one is missing"])
def test_different_class_labels_are_rejected(multi_label: bool, other_names: list[str], tmp_path: Path) -> None:
    files = [write(tmp_path / "pets", "train", ["cat", "dog"], multi_label)]
    files += [write(tmp_path / "pets", "test", other_names, multi_label)]
    message = f"train.parquet has cat, dog, but test.parquet has {', '.join(other_names)}"
    with pytest.raises(UserError, match=message):
        load_parquet(tmp_path / "pets", files, tmp_path / "cache")


def test_brackets_are_allowed_for_a_file_but_not_for_a_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "photos [2024]", "train", ["cat", "dog"])
    assert len(load_parquet(file, [file], tmp_path / "cache")["train"]) == 2
    with pytest.raises(UserError, match="Rename the folder"):
        load_parquet(file.parent, [file], tmp_path / "cache")
