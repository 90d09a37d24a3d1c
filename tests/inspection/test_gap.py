from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfmm.assets import CHECKPOINTS
from hfmm.errors import UserError
from hfmm.inspection import gap
from hfmm.recipe.schema import Data

ICONS = Data(builder="icons", train=4, validation=2, test=12)  # type: ignore[call-arg]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((200, 10))
    paths = tmp_path / "images.npy", tmp_path / "texts.npy"
    for path, offset in zip(paths, (2.0, -2.0), strict=True):
        np.save(path, np.hstack([shared + 0.02 * rng.standard_normal((200, 10)), np.full((200, 1), offset)]))
    return paths


def test_a_shift_by_the_whole_gap_closes_it_and_a_negative_one_widens_it(files: tuple[Path, Path]) -> None:
    clouds = gap.load_embeddings(*files)
    distances = [gap.measure(gap.shift(clouds, amount))["modality gap distance"] for amount in (-0.5, 0, 0.5, 1)]
    assert distances == sorted(distances, reverse=True)
    assert distances[1] == pytest.approx(gap.measure(clouds)["modality gap distance"], abs=1e-6)
    assert distances[3] < 0.2 * distances[1]


def test_rows_of_two_files_are_pairs_that_retrieval_finds(files: tuple[Path, Path]) -> None:
    measures = gap.measure(gap.load_embeddings(*files))
    assert measures["retrieval image->text R@1"] > 0.7
    assert "zero shot" not in measures
    assert measures["modality gap separability"] == 1


def test_a_model_is_measured_on_the_test_split_of_a_dataset(tiny_clip: Path, tmp_path: Path) -> None:
    clouds = gap.embed_test_split(str(tiny_clip), ICONS, tmp_path)
    assert clouds.embeddings["image"].shape == clouds.embeddings["class"].shape == (12, 16)
    assert 0 <= gap.measure(clouds)["zero shot"] <= 1


@pytest.mark.parametrize("name", ["tiny-clip", "tiny-siglip"])
def test_the_embedded_checkpoints_are_small_and_find_words_they_never_saw(name: str, tmp_path: Path) -> None:
    assert (CHECKPOINTS / name / "model.safetensors").stat().st_size <= 8e6
    words = Data(builder="pseudowords", train=1, validation=1, test=60)  # type: ignore[call-arg]
    measures = gap.measure(gap.embed_test_split(f"builtin:{name}", words, tmp_path))
    assert measures["retrieval image->text R@1"] > 0.6
    assert measures["retrieval text->image R@1"] > 0.6


def test_a_checkpoint_without_a_text_tower_is_refused(tiny_vit: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'vit' model and has no text tower"):
        gap.embed_test_split(str(tiny_vit), ICONS, tmp_path)


def spoiled(array: Any, row: int, value: float) -> Any:
    array = np.array(array)
    array[row] = value
    return array


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda array: spoiled(array, 3, np.nan), "texts.npy: row 3 holds NaN or infinity"),
        (lambda array: spoiled(array, 7, 0), "texts.npy: row 7 is zero everywhere"),
        (lambda array: array[:, :4], "embeddings of width 11 and .*texts.npy of width 4"),
        (lambda array: array[:50], "has 200 rows and .*texts.npy has 50"),
        (lambda array: array[0], "must hold one array of numbers, rows by dimensions"),
        (lambda array: array.astype(str), "must hold one array of numbers"),
    ],
)
def test_embeddings_that_cannot_be_compared_are_named(
    files: tuple[Path, Path], change: Callable[[Any], Any], words: str
) -> None:
    np.save(files[1], change(np.load(files[1])))
    with pytest.raises(UserError, match=words):
        gap.load_embeddings(*files)


def test_the_command_prints_json_and_draws_the_sweep(
    hfmm: Callable[..., Any], files: tuple[Path, Path], tmp_path: Path
) -> None:
    done = hfmm("inspect", "gap", "--embeddings", *map(str, files), "--sweep", "--json", "--out", str(tmp_path / "out"))
    found = json.loads(done.stdout)
    assert found["rows"] == 200
    assert [one["shift"] for one in found["sweep"]] == list(gap.SHIFTS)
    assert [Path(one).name for one in found["pictures"]] == ["embeddings.png", "sweep.png"]
    assert all(Path(one).stat().st_size > 5000 for one in found["pictures"])


def test_the_command_wants_a_model_with_data_or_two_files(fails: Callable[..., str]) -> None:
    assert "Give a model and a dataset" in fails("inspect", "gap", "builtin:tiny-clip")
