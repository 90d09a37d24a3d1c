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


def test_an_embedded_checkpoint_goes_to_the_same_owner_first() -> None:
    parcel = base_models.builtin_base_models(load_recipe("vit_icons"), TARGET)["builtin:tiny-vit"]
    assert parcel.target.id == "me/tiny-vit"
    card = parcel.contents["README.md"].source
    assert isinstance(card, bytes) and b'snapshot_download("me/tiny-vit")' in card
    assert json.loads(parcel.contents[MANIFEST].source)["checkpoint"] == "tiny-vit"  # type: ignore[arg-type]
    recipe = parcel.contents["recipe.yaml"].source
    assert isinstance(recipe, bytes) and yaml.safe_load(recipe)["name"] == "tiny-vit"
    assert "model.safetensors" in parcel.contents


def test_random_weights_come_from_nowhere() -> None:
    assert base_models.builtin_base_models(load_recipe("vit_icons", ["model.init=random"]), TARGET) == {}


def test_the_licence_of_the_base_is_inherited_unless_another_is_stated() -> None:
    recipe = load_recipe("vit_icons", ["publish.license=mit"])
    assert base_models.resolve_license(recipe, {}, None) == {"license": "apache-2.0"}
    assert base_models.resolve_license(recipe, {}, "mit") == {"license": "mit"}


def test_a_folder_that_names_no_licence_wants_one_stated(tmp_path: Path) -> None:
    recipe = load_recipe("vit_icons", [f"model.checkpoint={tmp_path}"])
    with pytest.raises(UserError, match=f"{tmp_path} has no README.md that names its licence.*--license"):
        base_models.resolve_license(recipe, {}, None)
    assert base_models.resolve_license(recipe, {}, "mit") == {"license": "mit"}
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# A model\n")
    assert base_models.resolve_license(recipe, {}, None) == {"license": "cc-by-nc-4.0"}


def test_random_weights_stand_under_the_licence_of_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("vit_icons", [f"model.checkpoint={tmp_path}", "model.init=random", "publish.license=mit"])
    assert base_models.resolve_license(recipe, {}, None) == {"license": "mit"}


@pytest.mark.parametrize(
    ("earlier", "foreign", "refused"),
    [
        (None, [], ""),
        ({"checkpoint": "tiny-vit"}, [], ""),
        ({"recipe": "whisper-verbs"}, [], "what hfmm published of whisper-verbs"),
        (None, ["notes.md"], "notes.md, which hfmm did not put there"),
    ],
)
def test_an_embedded_checkpoint_takes_no_name_that_is_taken(
    earlier: dict[str, str] | None, foreign: list[str], refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = base_models.builtin_checkpoint_upload("builtin:tiny-vit", TARGET)
    monkeypatch.setattr(base_models, "compare", lambda *_: RepoDiff("c0ffee", [], [], foreign, earlier))
    if not refused:
        base_models.check_repo_is_ours(parcel)
        return
    with pytest.raises(UserError, match=f"that repository holds {refused}"):
        base_models.check_repo_is_ours(parcel)


def test_a_checkpoint_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match="There is no builtin:huge"):
        base_models.builtin_checkpoint_upload("builtin:huge", TARGET)


@pytest.fixture
def child_of_a_run(finished_run: Path, tmp_path: Path) -> tuple[Recipe, RunDirectory]:
    """A recipe that begins where the finished run ended, and that run."""
    shutil.copytree(finished_run, tmp_path / "first", ignore=shutil.ignore_patterns("checkpoints"))
    values = yaml.safe_load((finished_run / "recipe.yaml").read_text())
    values |= {"name": "second", "model": {"checkpoint": str(tmp_path / "first/model")}}
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(values))
    return load_recipe(str(tmp_path / "second.yaml")), RunDirectory(tmp_path / "first")


def test_a_model_knows_the_runs_before_it(child_of_a_run: tuple[Recipe, RunDirectory], tiny_vit: Path) -> None:
    names = [one.name for one in lineage.ancestors(child_of_a_run[0])]
    assert names == [tiny_vit.name, "tiny", "second"]
    assert (
        lineage.ancestors(child_of_a_run[0])[1].how
        == "image classification on `icons`: head (classifier), then full (lora)"
    )


def test_a_run_that_was_published_is_a_base_by_its_id(child_of_a_run: tuple[Recipe, RunDirectory]) -> None:
    recipe, run = child_of_a_run
    assert base_models.published_base_models(recipe, run) == {}
    run.published.write_text('{"repo": "me/first", "commit": "abc", "tag": "v1"}')
    assert base_models.published_base_models(recipe, run) == {recipe.model.checkpoint: HubRevision("me/first", "abc")}


@pytest.mark.parametrize("folder", sorted(path.parent for path in CHECKPOINTS.glob("*/README.md")))
def test_all_that_the_card_of_an_embedded_checkpoint_shows_lies_beside_it(folder: Path) -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)|src=\"([^\"]+)\"", (folder / "README.md").read_text())
    names = {one or other for one, other in shown}
    assert names and [name for name in sorted(names) if not (folder / name).is_file()] == []


def test_a_tower_that_came_from_elsewhere_stands_in_the_history(tmp_path: Path) -> None:
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
def test_a_dataset_of_ones_own_is_called_by_its_own_name(data: dict[str, str], name: str) -> None:
    assert lineage.dataset_name(data) == name


def test_a_tower_has_the_paper_of_its_model() -> None:
    config = LlavaConfig(vision_config={"model_type": "siglip_vision_model"}, text_config={"model_type": "llama"})
    found = citations.citations_for(config, load_recipe("llava_tutor"))
    assert "@article{llava," in found and "@article{siglip," in found
