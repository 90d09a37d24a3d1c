"""Load a folder of images, in one folder per class or with a metadata file.

The layout is that of the imagefolder loader of `datasets`. That loader interprets any name that contains a word such as
"train" or "test" as a split, and drops the files outside the splits.
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
SPLITS = {  # the folder names that the loader of `datasets` uses for each split
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}

RelativePath = tuple[str, ...]  # the folders between a split and a file, and the name of the file


def load_image_folder(files: Sequence[Path], cache: Path) -> DatasetDict:
    """Return the images among ``files``, each with the name of its folder as its label.

    Folders named train, validation and test are splits if they contain all images. Images that are all in one folder
    have no label. If there are metadata files, the rows come from them. Raises UserError for an image outside the class
    folders or the splits.
    """
    if metadata_files := [file for file in files if file.name in METADATA_FILES]:
        metadata_splits = _group_by_split(metadata_files).items()
        return DatasetDict(
            {split: concatenate_datasets([_rows(path, cache) for path in paths]) for split, paths in metadata_splits}
        )
    splits = _group_by_split([file for file in files if file.suffix.lower() in EXTENSIONS])
    all_paths = {file: relative for paths in splits.values() for file, relative in paths.items()}
    _check_depth(all_paths)
    classes = sorted({relative[-2] for relative in all_paths.values() if len(relative) > 1})
    return DatasetDict({split: _to_dataset(paths, classes) for split, paths in splits.items()})


def _group_by_split(files: Iterable[Path]) -> dict[str, dict[Path, RelativePath]]:
    base = os.path.commonpath([file.parent for file in files])
    paths = {file: file.relative_to(base).parts for file in files}
    split_of = {file: SPLITS.get(relative[0].lower()) for file, relative in paths.items()}
    if "train" not in split_of.values():
        return {"train": paths}
    if outside := [file for file, split in split_of.items() if split is None]:
        if max(map(len, paths.values())) > 2:
            raise UserError(
                f"data.path: {outside[0]} is outside the split folders. The folders named train, validation and test "
                "must contain all files. Move it into one of them, or remove it."
            )
        return {"train": paths}
    return {
        name: {file: relative[1:] for file, relative in paths.items() if split_of[file] == name}
        for name in dict.fromkeys(SPLITS.values())
        if name in split_of.values()
    }


def _check_depth(paths: Mapping[Path, RelativePath]) -> None:
    depths = Counter(map(len, paths.values()))
    if len(depths) > 1:
        most_common = depths.most_common(1)[0][0]
        misplaced = next(file for file, relative in paths.items() if len(relative) != most_common)
        example = next(file for file, relative in paths.items() if len(relative) == most_common)
        raise UserError(
            f"data.path: {misplaced} is at a different folder depth than {example}. Each image must be in the folder "
            "of its class, and all class folders in the same folder. Move it, or remove it."
        )


def _to_dataset(files: Iterable[Path], classes: Sequence[str]) -> Dataset:
    columns = {"image": list(map(str, files))}
    features = Features(image=Image())
    if len(classes) > 1:
        columns["label"] = [file.parent.name for file in files]
        features["label"] = ClassLabel(names=list(classes))
    return Dataset.from_dict(columns, features=features)


def _rows(metadata: Path, cache: Path) -> Dataset:
    return load_dataset("imagefolder", data_files=glob.escape(str(metadata)), split="train", cache_dir=str(cache))
