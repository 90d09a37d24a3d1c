from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.recipe.load import list_recipes, load_recipe
from hfmm.recipe.schema import Recipe

GOOD = """
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


def message(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, text, *overrides)
    return str(caught.value)


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_that_comes_with_hfmm_is_valid(name: str) -> None:
    assert load_recipe(name).name


def test_a_resolved_recipe_reads_back_equal(tmp_path: Path) -> None:
    first = load(tmp_path, GOOD)
    assert load(tmp_path, first.to_yaml()).model_dump() == first.model_dump()


def test_a_single_module_and_scientific_notation_are_understood(tmp_path: Path) -> None:
    (stage,) = load(tmp_path, GOOD).stages
    assert stage.trainable == ["classifier"]
    assert stage.learning_rate == 0.001


def test_extends_states_only_the_difference(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD)
    child = load(tmp_path, "extends: base\nmodel: {checkpoint: other/model}\n")
    assert child.model.checkpoint == "other/model"
    assert child.name == "mine"


def test_extends_in_a_circle_is_named(tmp_path: Path) -> None:
    assert "mine.yaml -> mine.yaml" in message(tmp_path, "extends: mine\n")


def test_overrides_reach_stages_by_name_and_by_number(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD, "stages.head.num_train_epochs=7").stages[0].num_train_epochs == 7
    assert load(tmp_path, GOOD, "stages.0.num_train_epochs=8").stages[0].num_train_epochs == 8


def test_another_builder_drops_the_options_of_the_old_one(tmp_path: Path) -> None:
    data = load(tmp_path, GOOD.replace("icons", "icons, size: 32"), "data.builder=folder", "data.path=x").data
    assert data.options == {"path": "x"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
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
        ("name: mine", "name: mine\nname: yours", ["line 3", "'name' stands twice", "line 2"]),
        ("name: mine", "name: [", ["not valid YAML"]),
    ],
)
def test_a_mistake_names_key_line_and_remedy(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    said = message(tmp_path, GOOD.replace(old, new))
    assert [word for word in words if word not in said] == []


def test_a_wrong_override_names_itself(tmp_path: Path) -> None:
    assert "--set modle.checkpoint=x: unknown key 'modle'" in message(tmp_path, GOOD, "modle.checkpoint=x")
    assert "write it as key=value" in message(tmp_path, GOOD, "nonsense")
    assert "no item 'tail' here; there are head" in message(tmp_path, GOOD, "stages.tail.num_train_epochs=1")


def test_two_stages_of_one_name_are_refused(tmp_path: Path) -> None:
    stage = GOOD.splitlines()[6]
    assert "different names" in message(tmp_path, GOOD.replace(stage, f"{stage}\n{stage}"))


def test_an_unknown_recipe_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'vit_icons'"):
        load_recipe("vit_icon")


def test_a_stage_with_lora_refuses_to_interpolate_because_alpha_says_how_far(tmp_path: Path) -> None:
    said = message(tmp_path, GOOD, "stages.head.trainable=lora", "stages.head.wise_ft_alpha=0.5")
    assert "wise_ft_alpha does not go with trainable: lora; there lora.lora_alpha says how far" in said
    assert load(tmp_path, GOOD, "stages.head.wise_ft_alpha=0.5").stages[0].wise_ft_alpha == 0.5
