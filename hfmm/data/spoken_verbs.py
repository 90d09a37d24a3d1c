"""The clips that ship with the package: phrases of all cells in six voices. No speech synthesizer is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from datasets import ClassLabel, Dataset, DatasetDict, concatenate_datasets, load_dataset
from pydantic import Field, model_validator

from hfmm.assets import DATASETS
from hfmm.data.common.audio import AUDIO_FEATURE
from hfmm.data.common.generate import SPLITS, Split
from hfmm.data.common.verb_cells import cells_in_split
from hfmm.grammar.verbs import LEMMAS, PERSONS, TENSES
from hfmm.recipe.validation import StrictModel

Speaker = Literal["heart", "slt", "joe", "kal16", "awb", "rms"]

CLASSES = {"lemma": LEMMAS, "tense": TENSES, "person": PERSONS}

DESCRIPTION = (
    "Pronoun and verb form (`He works.`) of all 300 cells of the verb grid, spoken by six synthetic voices. The clips "
    "ship with hfmm. They were made with `hfmm data speech`, which can make more."
)


class SpokenVerbsOptions(StrictModel):
    """Options of `data: {builder: spoken_verbs}`."""

    hold_out: Literal["speaker", "both"] = Field("speaker", description="both: speakers and cells")
    validation: Speaker = Field("awb", description="the voice of the validation split")
    test: Speaker = "rms"
    label: Literal["none", "lemma", "tense", "person"] = Field(
        "none", description="what the column label of a classifier holds; none: there is no such column"
    )
    seed: int = Field(0, ge=0, description="which cells are held out; only for hold_out: both")

    @model_validator(mode="after")
    def _speakers_differ(self) -> SpokenVerbsOptions:
        if self.validation == self.test:
            raise ValueError(
                f"validation and test must use different voices; choose from {', '.join(get_args(Speaker))}"
            )
        return self


OPTIONS = SpokenVerbsOptions


def build(options: SpokenVerbsOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Return the three splits with held-out speakers, and held-out cells for ``hold_out: both``."""
    files = {split: str(DATASETS / "spoken-verbs" / "data" / f"{split}-00000-of-00001.parquet") for split in SPLITS}
    clips = load_dataset("parquet", data_files=files, cache_dir=str(cache)).cast_column("audio", AUDIO_FEATURE)
    all_clips = concatenate_datasets(list(clips.values()))
    if options.label != "none":
        feature = ClassLabel(names=list(CLASSES[options.label]))
        all_clips = all_clips.add_column("label", feature.str2int(all_clips[options.label][:]), feature=feature)
    return DatasetDict({split: _select_split(all_clips, options, split) for split in SPLITS})


def _select_split(clips: Dataset, options: SpokenVerbsOptions, split: Split) -> Dataset:
    speakers = {"validation": {options.validation}, "test": {options.test}}
    speakers["train"] = {*get_args(Speaker)} - {options.validation, options.test}
    cells = {"/".join(cell) for cell in cells_in_split(options.seed, split)}
    rows = zip(clips["speaker"][:], clips["group"][:], strict=True)
    return clips.select(
        [
            index
            for index, (speaker, group) in enumerate(rows)
            if speaker in speakers[split] and (options.hold_out == "speaker" or group in cells)
        ]
    )
