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

from hfmm.models import dual_encoder, vision_language
from hfmm.recipe.load import load_recipe
from hfmm.recipe.pinning import (
    is_local_path,
    pinned_revisions,
    revision_key,
    with_absolute_paths,
    with_pinned_revisions,
)
from hfmm.recipe.schema import Model
from tests.loading import load_model

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
    begun = with_pinned_revisions(
        load_recipe("lit_pages", ["model.checkpoint=you/base", "model.text_model=you/words"]), None
    )
    assert begun.model.model_dump() == {
        "checkpoint": "you/base",
        "revision": NEW,
        "init": "pretrained",
        "text_model": "you/words",
        "text_model_revision": NEW,
    }
    assert pinned_revisions(begun) == {"you/base": NEW, "you/words": NEW}


def test_a_commit_that_the_recipe_names_stays(cache: Path, tiny_bert: Path) -> None:
    put(cache, "you/words", tiny_bert)
    begun = with_pinned_revisions(
        load_recipe("lit_pages", ["model.text_model=you/words", f"model.text_model_revision={OLD}"]), None
    )
    assert begun.model.options["text_model_revision"] == OLD


def test_resuming_keeps_the_commits_that_the_run_was_begun_with(cache: Path, tiny_vit: Path, tiny_bert: Path) -> None:
    put(cache, "you/base", tiny_vit)
    put(cache, "you/words", tiny_bert)
    named = ["model.checkpoint=you/base", "model.text_model=you/words"]
    old = load_recipe("lit_pages", [*named, f"model.revision={OLD}", f"model.text_model_revision={OLD}"])
    assert with_pinned_revisions(load_recipe("lit_pages", named), old).model_dump() == old.model_dump()
    other = with_pinned_revisions(
        load_recipe("lit_pages", named), load_recipe("lit_pages")
    )  # was begun with other checkpoints
    assert {*pinned_revisions(other).values()} == {NEW}


def test_an_embedded_checkpoint_has_no_commit() -> None:
    recipe = load_recipe("llava_tutor")
    assert with_pinned_revisions(recipe, None) == recipe
    assert pinned_revisions(recipe) == {}


@pytest.mark.parametrize("commit", [OLD, NEW])
@pytest.mark.parametrize(
    ("key", "second", "first", "more", "auto_class"),
    [
        ("checkpoint", "tiny_clip", "", {}, dual_encoder.AUTO_CLASS),
        ("text_model", "tiny_bert", "tiny_vit", {}, dual_encoder.AUTO_CLASS),
        ("init_vision_from", "tiny_vit", "tiny_clip", {"init": "random"}, dual_encoder.AUTO_CLASS),
        ("language_model", "tiny_llama", "tiny_vit", {}, vision_language.AUTO_CLASS),
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
    spec = load_recipe("vit_icons").model_copy(update={"model": Model(**named)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a chat template is written
        model, _ = load_model(spec, Features(), auto_class)
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
    changes = ["data={builder: folder, path: photos}", "forgetting=[{builder: folder, path: more}]"]
    recipe = with_absolute_paths(load_recipe("vit_icons", ["model.checkpoint=tower", *changes]))
    assert recipe.model.checkpoint == str(tmp_path / "tower")
    assert recipe.data.options["path"] == str(tmp_path / "photos")
    assert recipe.forgetting[0].options["path"] == str(tmp_path / "more")
    shutil.rmtree(tmp_path / "tower")
    assert is_local_path(recipe.model.checkpoint)


def test_ids_stay_as_they_are() -> None:
    recipe = load_recipe("lit_pages")
    assert with_absolute_paths(recipe).model_dump() == recipe.model_dump()
    assert not is_local_path(recipe.model.checkpoint)
