from pathlib import Path

import pytest
from datasets import DatasetDict

from hfmm.assets import DATASETS
from hfmm.data import spoken_verbs
from hfmm.data.common.audio import decode
from hfmm.errors import UserError
from hfmm.grammar import CELLS
from hfmm.recipe.validation import validate


def build(cache: Path, **options: object) -> DatasetDict:
    return spoken_verbs.build(spoken_verbs.SpokenVerbsOptions.model_validate(options), cache)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return build(tmp_path_factory.mktemp("clips"))


def test_every_speaker_says_every_cell_and_is_in_one_split_only(data: DatasetDict) -> None:
    cells = {"/".join(cell) for cell in CELLS}
    speakers = {split: set(rows["speaker"][:]) for split, rows in data.items()}
    assert speakers == {"train": {"heart", "slt", "joe", "kal16"}, "validation": {"awb"}, "test": {"rms"}}
    for rows in data.values():
        pairs = set(zip(rows["speaker"][:], rows["group"][:], strict=True))
        assert pairs == {(speaker, cell) for speaker in set(rows["speaker"][:]) for cell in cells}


def test_the_clips_are_audible_and_short(data: DatasetDict) -> None:
    for rows in data.values():
        for row in rows.select(range(0, len(rows), 50)):
            audio = decode(row["audio"])
            assert 0.4 < len(audio) / 16_000 < 2.5
            assert abs(audio).max() > 0.05


def test_row_ids_are_unique(data: DatasetDict) -> None:
    ids = [row_id for rows in data.values() for row_id in rows["id"][:]]
    assert len(set(ids)) == len(ids) == 3000


def test_any_two_voices_can_be_held_out(tmp_path: Path) -> None:
    data = build(tmp_path, validation="heart", test="joe")
    assert set(data["test"]["speaker"][:]) == {"joe"}
    assert set(data["train"]["speaker"][:]) == {"slt", "kal16", "awb", "rms"}


def test_cells_can_also_be_held_out(tmp_path: Path) -> None:
    data = build(tmp_path, hold_out="both")
    groups = {split: set(rows["group"][:]) for split, rows in data.items()}
    assert not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]
    assert len(groups["test"]) == 60


def test_one_voice_cannot_be_in_validation_and_test() -> None:
    with pytest.raises(UserError, match="must use different voices; choose from heart, slt"):
        validate(spoken_verbs.SpokenVerbsOptions, {"validation": "rms"}, {})


def test_the_clips_are_small_enough_to_ship() -> None:
    folder = DATASETS / "spoken-verbs"
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 8_000_000
    assert "CC0-1.0" in (folder / "README.md").read_text()


@pytest.mark.parametrize(("column", "count"), [("lemma", 20), ("tense", 5), ("person", 3)])
def test_label_is_one_part_of_the_cell(column: str, count: int, tmp_path: Path) -> None:
    data = build(tmp_path, label=column)
    for rows in data.values():
        feature = rows.features["label"]
        assert len(feature.names) == count
        assert feature.int2str(rows["label"][:]) == rows[column][:]


def test_there_is_no_label_by_default(data: DatasetDict) -> None:
    assert all("label" not in rows.column_names for rows in data.values())
