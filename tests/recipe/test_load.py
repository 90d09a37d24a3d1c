from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.recipe.load import list_recipes, load_recipe
from hfmm.recipe.schema import Recipe

RECIPE = """
name: mine
task: image_classification
data: {builder: icons}
model: {checkpoint: some/model}
stages:
  - {name: head, trainable: classifier, num_train_epochs: 1, learning_rate: 1e-3}
metrics: [accuracy]
"""


def load(folder: Path, text: str, *overrides: str) -> Recipe:
    path = folder / "mine.yaml"
    path.write_text(text)
    return load_recipe(str(path), overrides)


def error_message(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        load(folder, text, *overrides)
    return str(error.value)


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_is_valid(name: str) -> None:
    assert load_recipe(name).name


def test_resolved_recipe_loads_equal(tmp_path: Path) -> None:
    recipe = load(tmp_path, RECIPE)
    assert load(tmp_path, recipe.to_yaml()).model_dump() == recipe.model_dump()


def test_single_module_and_scientific_notation_are_parsed(tmp_path: Path) -> None:
    (stage,) = load(tmp_path, RECIPE).stages
    assert stage.trainable == ["classifier"]
    assert stage.learning_rate == 0.001


def test_extends_overrides_only_the_given_keys(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(RECIPE)
    child = load(tmp_path, "extends: base\nmodel: {checkpoint: other/model}\n")
    assert child.model.checkpoint == "other/model"
    assert child.name == "mine"


def test_cycle_of_extends_is_rejected(tmp_path: Path) -> None:
    assert "mine.yaml -> mine.yaml" in error_message(tmp_path, "extends: mine\n")


def test_overrides_address_stages_by_name_and_by_index(tmp_path: Path) -> None:
    assert load(tmp_path, RECIPE, "stages.head.num_train_epochs=7").stages[0].num_train_epochs == 7
    assert load(tmp_path, RECIPE, "stages.0.num_train_epochs=8").stages[0].num_train_epochs == 8


def test_changing_the_builder_drops_the_old_options(tmp_path: Path) -> None:
    recipe = load(tmp_path, RECIPE.replace("icons", "icons, size: 32"), "data.builder=folder", "data.path=x")
    assert recipe.data.options == {"path": "x"}


@pytest.mark.parametrize(
    ("old", "new", "phrases"),
    [
        ("task:", "tusk:", ["mine.yaml, line 3", "'tusk'", "Did you mean 'task'?"]),
        (
            "num_train_epochs: 1",
            "num_train_epoch: 1",
            ["line 7", "'stages.0.num_train_epoch'", "Did you mean 'num_train_epochs'?"],
        ),
        (
            "num_train_epochs: 1",
            "num_train_epochs: many",
            ["line 7", "'stages.0.num_train_epochs' is 'many'", "valid number"],
        ),
        ("num_train_epochs: 1", "num_train_epochs: 0", ["line 7", "greater than 0"]),
        ("metrics: [accuracy]", "metrics: []", ["line 8", "'metrics'"]),
        ("name: mine", "name: mine\nname: yours", ["line 3", "duplicate key 'name'", "line 2"]),
        ("name: mine", "name: [", ["not valid YAML"]),
    ],
)
def test_mistake_reports_key_line_and_remedy(tmp_path: Path, old: str, new: str, phrases: list[str]) -> None:
    message = error_message(tmp_path, RECIPE.replace(old, new))
    assert [phrase for phrase in phrases if phrase not in message] == []


def test_invalid_override_is_quoted(tmp_path: Path) -> None:
    assert "--set modle.checkpoint=x: unknown key 'modle'" in error_message(tmp_path, RECIPE, "modle.checkpoint=x")
    assert "write it as key=value" in error_message(tmp_path, RECIPE, "nonsense")
    assert "the list has no item 'tail'. Choices: head." in error_message(
        tmp_path, RECIPE, "stages.tail.num_train_epochs=1"
    )


def test_duplicate_stage_name_is_rejected(tmp_path: Path) -> None:
    stage = RECIPE.splitlines()[6]
    assert "stages must have different names" in error_message(tmp_path, RECIPE.replace(stage, f"{stage}\n{stage}"))


def test_unknown_recipe_suggests_the_closest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'vit_icons'"):
        load_recipe("vit_icon")


def test_wise_ft_is_rejected_for_a_lora_stage(tmp_path: Path) -> None:
    message = error_message(tmp_path, RECIPE, "stages.head.trainable=lora", "stages.head.wise_ft_alpha=0.5")
    assert "wise_ft_alpha cannot be combined with trainable: lora; set lora.lora_alpha to scale the adapter" in message
    assert load(tmp_path, RECIPE, "stages.head.wise_ft_alpha=0.5").stages[0].wise_ft_alpha == 0.5
