from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from transformers import LlavaConfig

from hfmm.assets import CHECKPOINTS
from hfmm.card import citations, lineage
from hfmm.card.hub_text import HubRevision
from hfmm.errors import UserError
from hfmm.hub import base_models
from hfmm.hub.push import MANIFEST, RepoDiff, RepoTarget
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory

TARGET = RepoTarget("me/model")


def test_builtin_checkpoint_is_uploaded_first_to_the_same_owner() -> None:
    upload = base_models.builtin_base_models(load_recipe("vit_icons"), TARGET)["builtin:tiny-vit"]
    assert upload.target.id == "me/tiny-vit"
    card = upload.files["README.md"].source
    assert isinstance(card, bytes) and b'snapshot_download("me/tiny-vit")' in card
    assert json.loads(upload.files[MANIFEST].source)["checkpoint"] == "tiny-vit"  # type: ignore[arg-type]
    recipe = upload.files["recipe.yaml"].source
    assert isinstance(recipe, bytes) and yaml.safe_load(recipe)["name"] == "tiny-vit"
    assert "model.safetensors" in upload.files


def test_random_weights_have_no_base_models() -> None:
    assert base_models.builtin_base_models(load_recipe("vit_icons", ["model.init=random"]), TARGET) == {}


def test_license_is_inherited_from_the_base_unless_overridden() -> None:
    recipe = load_recipe("vit_icons", ["publish.license=mit"])
    assert base_models.resolve_license(recipe, {}, None) == {"license": "apache-2.0"}
    assert base_models.resolve_license(recipe, {}, "mit") == {"license": "mit"}


def test_folder_without_license_requires_the_license_option(tmp_path: Path) -> None:
    recipe = load_recipe("vit_icons", [f"model.checkpoint={tmp_path}"])
    with pytest.raises(UserError, match=f"{tmp_path} has no README.md that names its license.*--license"):
        base_models.resolve_license(recipe, {}, None)
    assert base_models.resolve_license(recipe, {}, "mit") == {"license": "mit"}
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# A model\n")
    assert base_models.resolve_license(recipe, {}, None) == {"license": "cc-by-nc-4.0"}


def test_random_weights_use_the_license_of_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("vit_icons", [f"model.checkpoint={tmp_path}", "model.init=random", "publish.license=mit"])
    assert base_models.resolve_license(recipe, {}, None) == {"license": "mit"}


@pytest.mark.parametrize(
    ("manifest", "foreign", "conflict"),
    [
        (None, [], ""),
        ({"checkpoint": "tiny-vit"}, [], ""),
        ({"recipe": "whisper-verbs"}, [], "an hfmm upload of whisper-verbs"),
        (None, ["notes.md"], "notes.md, which hfmm did not upload"),
    ],
)
def test_builtin_checkpoint_is_not_uploaded_to_a_repository_in_use(
    manifest: dict[str, str] | None, foreign: list[str], conflict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = base_models.builtin_checkpoint_upload("builtin:tiny-vit", TARGET)
    monkeypatch.setattr(base_models, "compare", lambda *_: RepoDiff("c0ffee", [], [], foreign, manifest))
    if not conflict:
        base_models.check_repo_is_ours(upload)
        return
    with pytest.raises(UserError, match=f"That repository contains {conflict}"):
        base_models.check_repo_is_ours(upload)


def test_unknown_builtin_checkpoint_raises() -> None:
    with pytest.raises(UserError, match="builtin:huge does not exist"):
        base_models.builtin_checkpoint_upload("builtin:huge", TARGET)


@pytest.fixture
def child_of_a_run(finished_run: Path, tmp_path: Path) -> tuple[Recipe, RunDirectory]:
    """A recipe that starts from the model of a finished run, and that run."""
    shutil.copytree(finished_run, tmp_path / "first", ignore=shutil.ignore_patterns("checkpoints"))
    values = yaml.safe_load((finished_run / "recipe.yaml").read_text())
    values |= {"name": "second", "model": {"checkpoint": str(tmp_path / "first/model")}}
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(values))
    return load_recipe(str(tmp_path / "second.yaml")), RunDirectory(tmp_path / "first")


def test_ancestors_include_the_previous_run_and_its_checkpoint(
    child_of_a_run: tuple[Recipe, RunDirectory], tiny_vit: Path
) -> None:
    names = [ancestor.name for ancestor in lineage.ancestors(child_of_a_run[0])]
    assert names == [tiny_vit.name, "tiny", "second"]
    assert (
        lineage.ancestors(child_of_a_run[0])[1].how
        == "image classification on `icons`: head (classifier), then full (lora)"
    )


def test_published_run_is_a_base_model_by_its_hub_id(child_of_a_run: tuple[Recipe, RunDirectory]) -> None:
    recipe, run = child_of_a_run
    assert base_models.published_base_models(recipe, run) == {}
    run.published.write_text('{"repo": "me/first", "commit": "abc", "tag": "v1"}')
    assert base_models.published_base_models(recipe, run) == {recipe.model.checkpoint: HubRevision("me/first", "abc")}


@pytest.mark.parametrize("folder", sorted(path.parent for path in CHECKPOINTS.glob("*/README.md")))
def test_images_in_the_card_of_a_builtin_checkpoint_exist(folder: Path) -> None:
    matches = re.findall(r"!\[[^]]*\]\(([^)]+)\)|src=\"([^\"]+)\"", (folder / "README.md").read_text())
    names = {markdown or html for markdown, html in matches}
    assert names and [name for name in sorted(names) if not (folder / name).is_file()] == []


def test_separate_vision_tower_is_listed_in_the_lineage(tmp_path: Path) -> None:
    (tmp_path / "reader").mkdir()
    recipe = load_recipe("siglip_grammar", [f"model.init_vision_from={tmp_path / 'reader'}"])
    assert "its vision tower from reader" in lineage.ancestors(recipe)[-1].how


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"builder": "icons"}, "icons"),
        ({"builder": "folder", "path": "/somewhere/photos"}, "photos"),
        ({"builder": "folder", "path": "beans-lab/beans"}, "beans-lab/beans"),
    ],
)
def test_user_dataset_is_named_after_its_folder_or_hub_id(data: dict[str, str], name: str) -> None:
    assert lineage.dataset_name(data) == name


def test_citations_include_the_paper_of_the_vision_tower() -> None:
    config = LlavaConfig(vision_config={"model_type": "siglip_vision_model"}, text_config={"model_type": "llama"})
    bibtex = citations.citations_for(config, load_recipe("llava_tutor"))
    assert "@article{llava," in bibtex and "@article{siglip," in bibtex
