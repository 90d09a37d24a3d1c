"""The clips that come with the package: phrases of all cells in six voices, so that no synthesiser is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset
from pydantic import Field, model_validator

from hfmm.data.audio import FEATURE
from hfmm.data.cells import cells_of_split
from hfmm.data.synthesis import SPLITS, Split
from hfmm.resources import DATASETS
from hfmm.strict import Strict

Speaker = Literal["heart", "slt", "joe", "kal16", "awb", "rms"]

DESCRIPTION = (
    "Pronoun and verb form (`He works.`) of all 300 cells of the verb grid, in six synthetic voices, as they come "
    "with hfmm; `hfmm data speech` made them and makes more."
)


class Options(Strict):
    """What `data: {builder: clips}` takes."""

    hold_out: Literal["speaker", "both"] = Field("speaker", description="both: the cells of a split are its own too")
    validation: Speaker = Field("awb", description="the voice that only the validation split hears")
    test: Speaker = "rms"
    seed: int = Field(0, ge=0, description="read where cells are held out: which ones")

    @model_validator(mode="after")
    def _speakers_differ(self) -> Options:
        if self.validation == self.test:
            raise ValueError(f"validation and test need different voices among {', '.join(get_args(Speaker))}")
        return self


def build(options: Options, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Return the three splits, speakers held out as the options say; nothing is synthesised."""
    files = {split: str(DATASETS / "spoken-verbs" / "data" / f"{split}-00000-of-00001.parquet") for split in SPLITS}
    clips = load_dataset("parquet", data_files=files, cache_dir=str(cache)).cast_column("audio", FEATURE)
    everything = concatenate_datasets(list(clips.values()))
    return DatasetDict({split: _part(everything, options, split) for split in SPLITS})


def _part(clips: Dataset, options: Options, split: Split) -> Dataset:
    speakers = {"validation": {options.validation}, "test": {options.test}}
    speakers["train"] = {*get_args(Speaker)} - {options.validation, options.test}
    cells = {"/".join(cell) for cell in cells_of_split(options.seed, split)}
    rows = zip(clips["speaker"][:], clips["group"][:], strict=True)
    return clips.select(
        [
            index
            for index, (speaker, group) in enumerate(rows)
            if speaker in speakers[split] and (options.hold_out == "speaker" or group in cells)
        ]
    )
