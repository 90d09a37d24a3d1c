"""A run is pinned to the commits of its start, and loads the weights of those commits."""

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
    """An empty cache of huggingface_hub, which is offline in tests."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cache_checkpoint(cache: Path, name: str, folder: Path) -> None:
    """Put a checkpoint into the cache under a Hub id at two commits, the newer one with negated weights."""
    repository = cache / f"models--{name.replace('/', '--')}"
    for commit in (OLD, NEW):
        shutil.copytree(folder, repository / "snapshots" / commit)
    weights = repository / "snapshots" / NEW / "model.safetensors"
    save_file({key: -value for key, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(NEW)


def test_hub_checkpoints_are_pinned_to_their_newest_commit(cache: Path, tiny_vit: Path, tiny_bert: Path) -> None:
    cache_checkpoint(cache, "you/base", tiny_vit)
    cache_checkpoint(cache, "you/words", tiny_bert)
    pinned = with_pinned_revisions(
        load_recipe("lit_pages", ["model.checkpoint=you/base", "model.text_model=you/words"]), None
    )
    assert pinned.model.model_dump() == {
        "checkpoint": "you/base",
        "revision": NEW,
        "init": "pretrained",
        "family": None,
        "load": {},
        "text_model": "you/words",
        "text_model_revision": NEW,
    }
    assert pinned_revisions(pinned) == {"you/base": NEW, "you/words": NEW}


def test_revision_set_in_the_recipe_is_kept(cache: Path, tiny_bert: Path) -> None:
    cache_checkpoint(cache, "you/words", tiny_bert)
    pinned = with_pinned_revisions(
        load_recipe("lit_pages", ["model.text_model=you/words", f"model.text_model_revision={OLD}"]), None
    )
    assert pinned.model.options["text_model_revision"] == OLD


def test_resuming_keeps_the_pinned_commits(cache: Path, tiny_vit: Path, tiny_bert: Path) -> None:
    cache_checkpoint(cache, "you/base", tiny_vit)
    cache_checkpoint(cache, "you/words", tiny_bert)
    overrides = ["model.checkpoint=you/base", "model.text_model=you/words"]
    saved = load_recipe("lit_pages", [*overrides, f"model.revision={OLD}", f"model.text_model_revision={OLD}"])
    assert with_pinned_revisions(load_recipe("lit_pages", overrides), saved).model_dump() == saved.model_dump()
    saved_with_other_checkpoints = load_recipe("lit_pages")
    pinned = with_pinned_revisions(load_recipe("lit_pages", overrides), saved_with_other_checkpoints)
    assert {*pinned_revisions(pinned).values()} == {NEW}


def test_builtin_checkpoint_is_not_pinned() -> None:
    recipe = load_recipe("llava_tutor")
    assert with_pinned_revisions(recipe, None) == recipe
    assert pinned_revisions(recipe) == {}


@pytest.mark.parametrize("commit", [OLD, NEW])
@pytest.mark.parametrize(
    ("key", "fixture", "checkpoint_fixture", "options", "auto_class"),
    [
        ("checkpoint", "tiny_clip", "", {}, dual_encoder.AUTO_CLASS),
        ("text_model", "tiny_bert", "tiny_vit", {}, dual_encoder.AUTO_CLASS),
        ("init_vision_from", "tiny_vit", "tiny_clip", {"init": "random"}, dual_encoder.AUTO_CLASS),
        ("language_model", "tiny_llama", "tiny_vit", {}, vision_language.AUTO_CLASS),
    ],
)
def test_loaded_weights_are_those_of_the_pinned_commit(
    key: str,
    fixture: str,
    checkpoint_fixture: str,
    options: dict[str, Any],
    auto_class: str,
    commit: str,
    cache: Path,
    request: pytest.FixtureRequest,
) -> None:
    folder = request.getfixturevalue(fixture)
    cache_checkpoint(cache, "you/model", folder)
    section = {"checkpoint": str(request.getfixturevalue(checkpoint_fixture))} if checkpoint_fixture else {}
    section |= {key: "you/model", revision_key(key): commit} | options
    recipe = load_recipe("vit_icons").model_copy(update={"model": Model(**section)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a chat template is added
        model, _ = load_model(recipe, Features(), auto_class)
    loaded = [value for value in model.state_dict().values() if value.ndim == 2]
    saved = [value for value in load_file(folder / "model.safetensors").values() if value.ndim == 2]

    def is_loaded(sign: int) -> bool:
        return any(a.shape == b.shape and a.equal(sign * b) for a in loaded for b in saved)

    assert (is_loaded(1), is_loaded(-1)) == (commit == OLD, commit == NEW)


def test_local_folders_become_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tower", "photos", "more"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    overrides = ["data={builder: folder, path: photos}", "forgetting=[{builder: folder, path: more}]"]
    recipe = with_absolute_paths(load_recipe("vit_icons", ["model.checkpoint=tower", *overrides]))
    assert recipe.model.checkpoint == str(tmp_path / "tower")
    assert recipe.data.options["path"] == str(tmp_path / "photos")
    assert recipe.forgetting[0].options["path"] == str(tmp_path / "more")
    shutil.rmtree(tmp_path / "tower")
    assert is_local_path(recipe.model.checkpoint)


def test_hub_ids_are_unchanged() -> None:
    recipe = load_recipe("lit_pages")
    assert with_absolute_paths(recipe).model_dump() == recipe.model_dump()
    assert not is_local_path(recipe.model.checkpoint)
