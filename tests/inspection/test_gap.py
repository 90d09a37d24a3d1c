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


def test_shift_closes_or_widens_the_gap(files: tuple[Path, Path]) -> None:
    pairs = gap.load_embeddings(*files)
    distances = [gap.measure(gap.shift(pairs, amount))["modality gap distance"] for amount in (-0.5, 0, 0.5, 1)]
    assert distances == sorted(distances, reverse=True)
    assert distances[1] == pytest.approx(gap.measure(pairs)["modality gap distance"], abs=1e-6)
    assert distances[3] < 0.2 * distances[1]


def test_rows_of_two_files_are_retrieved_as_pairs(files: tuple[Path, Path]) -> None:
    measures = gap.measure(gap.load_embeddings(*files))
    assert measures["retrieval image->text R@1"] > 0.7
    assert "zero shot" not in measures
    assert measures["modality gap separability"] == 1


def test_model_is_measured_on_the_test_split(tiny_clip: Path, tmp_path: Path) -> None:
    pairs = gap.embed_test_split(str(tiny_clip), ICONS, tmp_path)
    assert pairs.embeddings["image"].shape == pairs.embeddings["class"].shape == (12, 16)
    assert 0 <= gap.measure(pairs)["zero shot"] <= 1


@pytest.mark.parametrize("name", ["tiny-clip", "tiny-siglip"])
def test_builtin_checkpoints_are_small_and_match_unseen_words(name: str, tmp_path: Path) -> None:
    assert (CHECKPOINTS / name / "model.safetensors").stat().st_size <= 8e6
    words = Data(builder="pseudowords", train=1, validation=1, test=60)  # type: ignore[call-arg]
    measures = gap.measure(gap.embed_test_split(f"builtin:{name}", words, tmp_path))
    assert measures["retrieval image->text R@1"] > 0.6
    assert measures["retrieval text->image R@1"] > 0.6


def test_checkpoint_without_a_text_tower_is_rejected(tiny_vit: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'vit' model and has no text tower"):
        gap.embed_test_split(str(tiny_vit), ICONS, tmp_path)


def with_row(array: Any, row: int, value: float) -> Any:
    array = np.array(array)
    array[row] = value
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: with_row(array, 3, np.nan), "texts.npy: row 3 contains NaN or infinity"),
        (lambda array: with_row(array, 7, 0), "texts.npy: row 7 is all zeros"),
        (lambda array: array[:, :4], "embeddings of size 11, but .*texts.npy of size 4"),
        (lambda array: array[:50], "has 200 rows, but .*texts.npy has 50"),
        (lambda array: array[0], "must contain one array of numbers with shape"),
        (lambda array: array.astype(str), "must contain one array of numbers"),
    ],
)
def test_invalid_embeddings_are_rejected(files: tuple[Path, Path], change: Callable[[Any], Any], message: str) -> None:
    np.save(files[1], change(np.load(files[1])))
    with pytest.raises(UserError, match=message):
        gap.load_embeddings(*files)


def test_command_prints_json_and_plots_the_sweep(
    hfmm: Callable[..., Any], files: tuple[Path, Path], tmp_path: Path
) -> None:
    completed = hfmm(
        "inspect", "gap", "--embeddings", *map(str, files), "--sweep", "--json", "--out", str(tmp_path / "out")
    )
    output = json.loads(completed.stdout)
    assert output["rows"] == 200
    assert [scores["shift"] for scores in output["sweep"]] == list(gap.SHIFTS)
    assert [Path(path).name for path in output["pictures"]] == ["embeddings.png", "sweep.png"]
    assert all(Path(path).stat().st_size > 5000 for path in output["pictures"])


def test_command_needs_a_model_and_data_or_two_files(fails: Callable[..., str]) -> None:
    assert "Pass either a model and a dataset" in fails("inspect", "gap", "builtin:tiny-clip")
