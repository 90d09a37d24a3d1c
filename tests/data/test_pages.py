from pathlib import Path

import numpy as np
import pytest
from datasets import DatasetDict, load_dataset
from PIL import Image, ImageOps

from hfmm.data import disable_media_decoding, fingerprint, pages
from hfmm.data.common import drawing, generate
from hfmm.data.common.camera_augment import MARGIN
from hfmm.data.icons import FONTS
from hfmm.errors import UserError
from hfmm.grammar import CELLS, VerbCell, captions, parse
from hfmm.grammar.sentences import TEMPLATES
from hfmm.hub.dataset import save_dataset
from hfmm.recipe.validation import validate

SMALL = {"train": 60, "validation": 24, "test": 40, "size": 48}


def build(folder: Path, num_proc: int = 1, **options: object) -> DatasetDict:
    return pages.build(pages.PagesOptions.model_validate(SMALL | options), folder, num_proc)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return build(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return build(tmp_path_factory.mktemp("sentences"), content="sentence")


def row_cell(data: DatasetDict, row: dict) -> VerbCell:  # type: ignore[type-arg]
    features = data["test"].features
    return VerbCell(*(features[name].int2str(row[name]) for name in ("lemma", "tense", "person")))


def test_the_number_of_processes_does_not_change_the_pages(
    tmp_path: Path, data: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "MIN_ROWS_FOR_MULTIPROCESSING", 10)
    assert fingerprint(disable_media_decoding(build(tmp_path, num_proc=2))) == fingerprint(disable_media_decoding(data))


def test_another_seed_changes_the_pages(tmp_path: Path, data: DatasetDict) -> None:
    assert fingerprint(disable_media_decoding(build(tmp_path, seed=1))) != fingerprint(disable_media_decoding(data))


def test_adding_rows_does_not_change_earlier_pages(tmp_path: Path, data: DatasetDict) -> None:
    longer = build(tmp_path, train=70)["train"]
    assert np.array_equal(np.asarray(longer[59]["image"]), np.asarray(data["train"][59]["image"]))


def test_all_images_are_different(data: DatasetDict) -> None:
    images = {np.asarray(row["image"]).tobytes() for rows in data.values() for row in rows}
    assert len(images) == sum(SMALL[split] for split in data)
    assert all(row["image"].size == (48, 48) and row["image"].mode == "RGB" for row in data["validation"])


@pytest.mark.parametrize("content", ["data", "sentences"])
def test_the_cell_is_one_of_the_readings_of_the_printed_text(content: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(content)
    for row in data["test"]:
        cell = row_cell(data, row)
        assert cell in {reading[:3] for reading in parse(row["text"])}, row["text"]
        assert row["group"] == "/".join(cell)


@pytest.mark.parametrize("content", ["data", "sentences"])
def test_every_caption_is_the_text_or_describes_a_cell_of_the_text(
    content: str, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue(content)
    for row in data["train"]:
        readings = {VerbCell(*reading[:3]) for reading in parse(row["text"])}  # `wants` is not in the grid
        correct = {caption for cell in readings & set(CELLS) for caption in captions(cell)}
        assert row["text"] in row["captions"]
        assert set(row["captions"]) <= correct | {row["text"]}
        assert row["captions"][0] == captions(row_cell(data, row))[0]
        assert len(set(row["captions"])) == len(row["captions"])


def test_a_page_of_two_cells_has_the_captions_of_both(tmp_path: Path) -> None:
    rows = build(tmp_path, train=300, size=32)["train"]
    pages_of_put = [row["captions"] for row in rows if row["text"] == "I put"]
    assert len(pages_of_put) == 2
    for texts in pages_of_put:
        assert {f"1st person singular {tense} simple of put" for tense in ("present", "past")} <= set(texts)
    assert pages_of_put[0][0] != pages_of_put[1][0]


def test_template_captions_match_the_sentence(tmp_path: Path) -> None:
    data = build(tmp_path, content="sentence", captions="templates")
    tenses = {template.text: template.tense for template in TEMPLATES}
    for row in data["test"]:
        assert row["group"] == row["captions"][0]
        assert {tenses[caption] for caption in row["captions"]} == {row_cell(data, row).tense}


def test_templates_without_sentences_raise_an_error() -> None:
    with pytest.raises(UserError, match=r"captions.*set content: sentence"):
        validate(pages.PagesOptions, {"captions": "templates"}, {})


def test_held_out_fonts_do_not_leak(data: DatasetDict) -> None:
    for split, rows in data.items():
        assert set(rows["font"][:]) <= set(FONTS[split])


def test_held_out_cells_do_not_leak_but_their_attributes_are_in_train(tmp_path: Path) -> None:
    data = build(tmp_path, hold_out="cell", train=300, size=32)
    groups = {split: set(rows["group"][:]) for split, rows in data.items()}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]
    for position in range(3):
        assert {group.split("/")[position] for group in groups["test"]} <= {
            group.split("/")[position] for group in groups["train"]
        }


def test_all_cells_are_equally_frequent(tmp_path: Path) -> None:
    groups = build(tmp_path, train=600, validation=1, test=1, size=32)["train"]["group"][:]
    assert all(groups.count("/".join(cell)) == 2 for cell in CELLS)


def test_the_text_is_large_and_stays_inside_the_margins() -> None:
    for seed, text in enumerate(["I am", "for him to speak", "Next week our neighbour will write to a friend."]):
        page = Image.new("RGB", (256, 256), "white")
        pages.draw_text(page, text, "cmss10", (0, 0, 0), np.random.default_rng(seed))
        left, top, right, bottom = ImageOps.invert(page).getbbox() or (0, 0, 0, 0)
        edge = 256 * MARGIN
        assert edge - 2 <= min(left, top)
        assert max(right, bottom) <= 256 - edge + 2
        assert right - left > 80


def test_the_ink_contrasts_with_the_paper() -> None:
    for seed in range(30):
        # Both texts get the same paper, light and noise from the same seed, so only the ink differs.
        long, short = (
            np.asarray(pages.draw(text, "cmss10", 64, np.random.default_rng(seed)).convert("L"), dtype=float)
            for text in ("she writes", "I am")
        )
        assert np.quantile(np.abs(long - short), 0.98) > 50


def test_an_export_can_be_loaded_and_its_card_describes_unlabeled_data(tmp_path: Path, data: DatasetDict) -> None:
    save_dataset(data, tmp_path / "pages", name="pages", command="hfmm data pages", description=pages.DESCRIPTION)
    loaded = load_dataset(str(tmp_path / "pages"), cache_dir=str(tmp_path / "cache"))
    for split, rows in data.items():
        assert loaded[split]["captions"][:] == rows["captions"][:]
        assert loaded[split].features == rows.features
    assert np.array_equal(np.asarray(loaded["test"][7]["image"]), np.asarray(data["test"][7]["image"]))
    card = (tmp_path / "pages" / "README.md").read_text()
    assert "zero-shot-image-classification" in card
    assert "`font`: 3 values in test, 0 of them also in train." in card


def test_every_font_has_a_glyph_for_each_letter_of_the_captions() -> None:
    letters = sorted(
        {letter for cell in CELLS for text in captions(cell) for letter in text if letter.isalpha()} | {"."}
    )
    for name in {name for names in FONTS.values() for name in names}:
        shapes = {bytes(drawing.font(name, 40).getmask(letter)) for letter in letters}
        assert len(shapes) == len(letters), name
