"""A run is pinned to the commits that it began with, and what it loads is of those commits."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from datasets import Features
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from hfmm import models
from hfmm import recipe_file as recipes
from hfmm.models import dual_encoder, llava
from hfmm.provenance import commits, is_folder, pinned, revision_key, rooted
from hfmm.recipe import Model

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub's client, which asks no network here."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, name: str, folder: Path) -> None:
    """Let a cache hold a checkpoint under a Hub id at two commits, the newer with the sign of its weights turned."""
    repository = cache / f"models--{name.replace('/', '--')}"
    for commit in (OLD, NEW):
        shutil.copytree(folder, repository / "snapshots" / commit)
    weights = repository / "snapshots" / NEW / "model.safetensors"
    save_file({key: -value for key, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(NEW)


def test_every_hub_checkpoint_is_pinned_to_the_commit_the_run_begins_with(
    cache: Path, tiny_vit: Path, tiny_bert: Path
) -> None:
    put(cache, "you/base", tiny_vit)
    put(cache, "you/words", tiny_bert)
    begun = pinned(recipes.load("lit_pages", ["model.checkpoint=you/base", "model.text=you/words"]), None)
    assert begun.model.model_dump() == {
        "checkpoint": "you/base",
        "revision": NEW,
        "init": "pretrained",
        "text": "you/words",
        "text_revision": NEW,
    }
    assert commits(begun) == {"you/base": NEW, "you/words": NEW}


def test_a_commit_that_the_recipe_names_stays(cache: Path, tiny_bert: Path) -> None:
    put(cache, "you/words", tiny_bert)
    begun = pinned(recipes.load("lit_pages", ["model.text=you/words", f"model.text_revision={OLD}"]), None)
    assert begun.model.options["text_revision"] == OLD


def test_resuming_keeps_the_commits_that_the_run_was_begun_with(cache: Path, tiny_vit: Path, tiny_bert: Path) -> None:
    put(cache, "you/base", tiny_vit)
    put(cache, "you/words", tiny_bert)
    named = ["model.checkpoint=you/base", "model.text=you/words"]
    old = recipes.load("lit_pages", [*named, f"model.revision={OLD}", f"model.text_revision={OLD}"])
    assert pinned(recipes.load("lit_pages", named), old).model_dump() == old.model_dump()
    other = pinned(recipes.load("lit_pages", named), recipes.load("lit_pages"))  # was begun with other checkpoints
    assert {*commits(other).values()} == {NEW}


def test_an_embedded_checkpoint_has_no_commit() -> None:
    recipe = recipes.load("llava_tutor")
    assert pinned(recipe, None) == recipe
    assert commits(recipe) == {}


@pytest.mark.parametrize("commit", [OLD, NEW])
@pytest.mark.parametrize(
    ("key", "second", "first", "more", "auto_class"),
    [
        ("checkpoint", "tiny_clip", "", {}, dual_encoder.AUTO_CLASS),
        ("text", "tiny_bert", "tiny_vit", {}, dual_encoder.AUTO_CLASS),
        ("vision", "tiny_vit", "tiny_clip", {"init": "random"}, dual_encoder.AUTO_CLASS),
        ("language", "tiny_llama", "tiny_vit", {}, llava.AUTO_CLASS),
    ],
)
def test_the_weights_that_are_loaded_are_those_of_the_commit(
    key: str,
    second: str,
    first: str,
    more: dict[str, Any],
    auto_class: str,
    commit: str,
    cache: Path,
    request: pytest.FixtureRequest,
) -> None:
    folder = request.getfixturevalue(second)
    put(cache, "you/model", folder)
    named = {"checkpoint": str(request.getfixturevalue(first))} if first else {}
    named |= {key: "you/model", revision_key(key): commit} | more
    spec = recipes.load("vit_icons").model_copy(update={"model": Model(**named)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a chat template is written
        model, _ = models.load(spec, Features(), auto_class)
    loaded = [value for value in model.state_dict().values() if value.ndim == 2]
    known = [value for value in load_file(folder / "model.safetensors").values() if value.ndim == 2]

    def holds(sign: int) -> bool:
        return any(one.shape == other.shape and one.equal(sign * other) for one in loaded for other in known)

    assert (holds(1), holds(-1)) == (commit == OLD, commit == NEW)


def test_folders_are_named_by_their_whole_path_so_that_a_run_is_the_same_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tower", "photos", "more"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    changes = ["data={builder: folder, path: photos}", "elsewhere=[{builder: folder, path: more}]"]
    recipe = rooted(recipes.load("vit_icons", ["model.checkpoint=tower", *changes]))
    assert recipe.model.checkpoint == str(tmp_path / "tower")
    assert recipe.data.options["path"] == str(tmp_path / "photos")
    assert recipe.elsewhere[0].options["path"] == str(tmp_path / "more")
    shutil.rmtree(tmp_path / "tower")
    assert is_folder(recipe.model.checkpoint)


def test_ids_stay_as_they_are() -> None:
    recipe = recipes.load("lit_pages")
    assert rooted(recipe).model_dump() == recipe.model_dump()
    assert not is_folder(recipe.model.checkpoint)
