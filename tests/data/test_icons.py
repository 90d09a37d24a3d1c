from pathlib import Path

import numpy as np
import pytest
from datasets import DatasetDict, Features
from PIL import Image

from hfmm.data import disable_media_decoding, fingerprint, icons
from hfmm.data.common import generate
from hfmm.data.common.labels import label_names
from hfmm.grammar import CELLS, VerbCell, captions, surface_form

SMALL = {"train": 60, "validation": 24, "test": 40, "size": 32}


def build(folder: Path, num_proc: int = 1, **options: object) -> DatasetDict:
    return icons.build(icons.IconsOptions.model_validate(SMALL | options), folder, num_proc)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return build(tmp_path_factory.mktemp("icons"))


def label_texts(features: Features, row: dict) -> list[str]:  # type: ignore[type-arg]
    return [label_names(features)[index] for index in row["label"]]


def test_the_number_of_processes_does_not_change_the_images(
    tmp_path: Path, data: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "MIN_ROWS_FOR_MULTIPROCESSING", 10)
    rebuilt = build(tmp_path, num_proc=2)
    assert fingerprint(disable_media_decoding(rebuilt)) == fingerprint(disable_media_decoding(data))


def test_another_seed_changes_the_images(tmp_path: Path, data: DatasetDict) -> None:
    assert fingerprint(disable_media_decoding(build(tmp_path, seed=1))) != fingerprint(disable_media_decoding(data))


def test_adding_rows_does_not_change_earlier_images(tmp_path: Path, data: DatasetDict) -> None:
    longer = build(tmp_path, train=70)["train"]
    assert np.array_equal(np.asarray(longer[59]["image"]), np.asarray(data["train"][59]["image"]))


def test_the_columns_of_a_row_agree(data: DatasetDict) -> None:
    for row in data["test"]:
        lemma, tense, person = row["group"].split("/")
        assert label_texts(data["test"].features, row) == [f"lemma: {lemma}", f"tense: {tense}", f"person: {person}"]
        assert row["text"].endswith(surface_form(lemma, tense, person))
        assert row["captions"] == list(captions(VerbCell(lemma, tense, person)))
        assert row["image"].size == (32, 32)


def test_the_color_encodes_the_tense() -> None:
    rng = np.random.default_rng(0)
    for cell in CELLS[::7]:
        hue = icons.HUES[cell.tense]
        image = icons.draw(cell, "DejaVuSans", "plain", 64, rng).convert("HSV")
        pixels = np.asarray(image, dtype=float).reshape(-1, 3)
        vivid = pixels[pixels[:, 1] > 120]
        if hue is None:
            assert len(vivid) < 0.05 * len(pixels)
        else:
            difference = np.abs((vivid[:, 0] * 360 / 255 - hue + 180) % 360 - 180)
            assert np.median(difference) < 20


@pytest.mark.parametrize("column", ["font", "background"])
def test_held_out_fonts_and_backgrounds_do_not_leak(data: DatasetDict, column: str) -> None:
    values = {split: set(rows[column][:]) for split, rows in data.items()}
    assert not values["train"] & values["test"]
    assert not values["train"] & values["validation"]
    assert not values["validation"] & values["test"]


def test_held_out_cells_do_not_leak_but_their_attributes_are_in_train(tmp_path: Path) -> None:
    data = build(tmp_path, hold_out="cell", train=300)
    groups = {split: set(rows["group"][:]) for split, rows in data.items()}
    assert not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]
    for position in range(3):
        assert {group.split("/")[position] for group in groups["test"]} <= {
            group.split("/")[position] for group in groups["train"]
        }


@pytest.mark.parametrize(("label", "count"), [("tense", 5), ("person", 3), ("lemma", 20), ("all", 28)])
def test_the_label_can_be_one_attribute_or_the_whole_cell(tmp_path: Path, label: str, count: int) -> None:
    data = build(tmp_path, label=label, train=4, validation=1, test=1)
    assert len(label_names(data["train"].features)) == count


def test_every_font_has_a_glyph_for_each_letter_of_the_lemmas() -> None:
    from hfmm.data.common.drawing import font

    for name in {name for names in icons.FONTS.values() for name in names}:
        blank = font(name, 40).getmask("￿").getbbox()
        shapes = {letter: bytes(font(name, 40).getmask(letter)) for letter in sorted(set("".join(icons.LEMMAS)))}
        assert len(set(shapes.values())) == len(shapes), (name, blank)


def test_images_are_rgb(data: DatasetDict) -> None:
    assert all(isinstance(row["image"], Image.Image) and row["image"].mode == "RGB" for row in data["validation"])
