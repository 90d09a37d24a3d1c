from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hfmm.data.common.parquet_folder import load_parquet
from hfmm.errors import UserError


def write(folder: Path, split: str, names: list[str], several: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    kind = ClassLabel(names=names)
    labels = [kind.str2int(one) for one in names]
    rows = {"name": names, "label": [[one] for one in labels] if several else labels}
    features = Features(name=Value("string"), label=List(kind) if several else kind)
    Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    return folder / f"{split}.parquet"


def test_a_folder_has_the_splits_that_its_files_are_named_for(tmp_path: Path) -> None:
    files = [write(tmp_path / "pets", split, ["cat", "dog"]) for split in ("train", "test")]
    data = load_parquet(tmp_path / "pets", files, tmp_path / "cache")
    assert {split: rows["name"][:] for split, rows in data.items()} == {split: ["cat", "dog"] for split in data}
    assert set(data) == {"train", "test"}


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several"])
@pytest.mark.parametrize("other", [["dog", "cat"], ["dog"]], ids=["another order", "one is missing"])
def test_files_that_number_their_classes_differently_are_refused(
    several: bool, other: list[str], tmp_path: Path
) -> None:
    files = [write(tmp_path / "pets", "train", ["cat", "dog"], several)]
    files += [write(tmp_path / "pets", "test", other, several)]
    words = f"train.parquet counts cat, dog, and test.parquet {', '.join(other)}"
    with pytest.raises(UserError, match=words):
        load_parquet(tmp_path / "pets", files, tmp_path / "cache")


def test_parquet_may_lie_in_brackets_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "photos [2024]", "train", ["cat", "dog"])
    assert len(load_parquet(file, [file], tmp_path / "cache")["train"]) == 2
    with pytest.raises(UserError, match="Rename the folder"):
        load_parquet(file.parent, [file], tmp_path / "cache")
