import re
from pathlib import Path

import pytest

from hfmm import data
from hfmm.errors import UserError
from hfmm.plan import resolve_task
from hfmm.recipe.annotate import to_annotated_yaml
from hfmm.recipe.load import list_recipes, load_recipe
from hfmm.recipe.schema import Recipe


def write_and_load(folder: Path, recipe: Recipe) -> Recipe:
    path = folder / "mine.yaml"
    path.write_text(to_annotated_yaml(recipe))
    return load_recipe(str(path))


@pytest.mark.parametrize("name", list_recipes())
def test_annotated_recipe_loads_to_the_same_recipe_with_defaults(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    loaded = write_and_load(tmp_path, recipe)
    assert loaded.model_dump(exclude={"task", "data", "model"}) == recipe.model_dump(exclude={"task", "data", "model"})
    assert resolve_task(loaded) == resolve_task(recipe)
    assert data.find_builder(loaded.data, {}) == data.find_builder(recipe.data, {})
    assert dict(loaded.model) | dict(recipe.model) == dict(loaded.model)
    assert to_annotated_yaml(loaded) == to_annotated_yaml(recipe)


def test_long_value_is_separated_from_its_comment(tmp_path: Path) -> None:
    path = "p" * 60
    recipe = load_recipe("vit_icons", ["data.builder=folder", f"data.path={path}"])
    assert write_and_load(tmp_path, recipe).data.options["path"] == path


@pytest.mark.parametrize(
    "key", ["augment_prob", "spec_augment", "decoder_noise", "ctc_weight", "window_seconds", "language"]
)
def test_task_and_model_keys_are_commented(key: str) -> None:
    assert re.search(rf"\n  {key}: \S+ +# \w+", to_annotated_yaml(load_recipe("whisper_verbs")))


def test_choices_of_a_key_precede_its_description() -> None:
    text = to_annotated_yaml(load_recipe("clip_grammar"))
    assert re.search(r"\n    lr_scheduler_type: cosine +# cosine \| linear \| constant_with_warmup\n", text)
    assert re.search(r"\n  loss: auto +# auto \| softmax \| sigmoid; auto: sigmoid if", text)


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("vit_icons", "data.sise=3", "--set data.sise=3: unknown key 'data.sise'. Did you mean 'size'?"),
        ("vit_icons", "data.size=big", "--set data.size=big: 'data.size' is 'big'"),
        ("whisper_verbs", "task.spec_augmnt=true", "Did you mean 'spec_augment'?"),
        ("llava_tutor", "model.langauge_model=x", "Did you mean 'language_model'?"),
    ],
)
def test_unknown_key_of_a_section_is_named(name: str, override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        to_annotated_yaml(load_recipe(name, [override]))
    assert message in str(error.value)
