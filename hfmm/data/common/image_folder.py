"""A folder of pictures, in the folders of their classes or with a table of what is in them.

The layout is that of `datasets`' imagefolder, whose own loader takes any name with a word such as "train" or "test" in
it for a split, and drops what is in none.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, concatenate_datasets, load_dataset
from datasets.packaged_modules.imagefolder.imagefolder import IMAGE_EXTENSIONS

from hfmm.errors import UserError

EXTENSIONS = frozenset(IMAGE_EXTENSIONS)
METADATA_FILES = {"metadata.csv", "metadata.jsonl"}
SPLITS = {  # what the loader of `datasets` takes folders of these names for
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}

RelativePath = tuple[str, ...]  # the folders from a split to a file, and the file's name


def load_image_folder(files: Sequence[Path], cache: Path) -> DatasetDict:
    """Return the pictures among ``files``, each labelled with the name of the folder that it lies in.

    Folders named train, validation and test that hold all of them are splits. Pictures that all lie in one folder have
    no label, and where tables are, the rows are theirs. Raises UserError for a picture that lies outside the class
    folders or the splits.
    """
    if tables := [file for file in files if file.name in METADATA_FILES]:
        found = _group_by_split(tables).items()
        return DatasetDict({split: concatenate_datasets([_rows(table, cache) for table in of]) for split, of in found})
    splits = _group_by_split([file for file in files if file.suffix.lower() in EXTENSIONS])
    places = {file: place for of in splits.values() for file, place in of.items()}
    _check_depth(places)
    classes = sorted({place[-2] for place in places.values() if len(place) > 1})
    return DatasetDict({split: _to_dataset(of, classes) for split, of in splits.items()})


def _group_by_split(files: Iterable[Path]) -> dict[str, dict[Path, RelativePath]]:
    base = os.path.commonpath([file.parent for file in files])
    places = {file: file.relative_to(base).parts for file in files}
    split_of = {file: SPLITS.get(place[0].lower()) for file, place in places.items()}
    if "train" not in split_of.values():
        return {"train": places}
    if beside := [file for file, split in split_of.items() if split is None]:
        if max(map(len, places.values())) > 2:
            raise UserError(
                f"data.path: {beside[0]} lies beside the folder of the training split and in none itself. Splits are "
                "folders named train, validation and test that hold all there is: move it, or take it away."
            )
        return {"train": places}
    return {
        name: {file: place[1:] for file, place in places.items() if split_of[file] == name}
        for name in dict.fromkeys(SPLITS.values())
        if name in split_of.values()
    }


def _check_depth(places: Mapping[Path, RelativePath]) -> None:
    depths = Counter(map(len, places.values()))
    if len(depths) > 1:
        usual = depths.most_common(1)[0][0]
        odd = next(file for file, place in places.items() if len(place) != usual)
        other = next(file for file, place in places.items() if len(place) == usual)
        raise UserError(
            f"data.path: {odd} lies at another depth than {other}. Each picture belongs in the folder of its class, "
            "and the class folders side by side: move it, or take it away."
        )


def _to_dataset(files: Iterable[Path], classes: Sequence[str]) -> Dataset:
    columns = {"image": list(map(str, files))}
    features = Features(image=Image())
    if len(classes) > 1:
        columns["label"] = [file.parent.name for file in files]
        features["label"] = ClassLabel(names=list(classes))
    return Dataset.from_dict(columns, features=features)


def _rows(table: Path, cache: Path) -> Dataset:
    return load_dataset("imagefolder", data_files=glob.escape(str(table)), split="train", cache_dir=str(cache))
