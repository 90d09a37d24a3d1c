import re
from pathlib import Path

import pytest

from hfmm import data, recipe_file, tasks
from hfmm.errors import UserError
from hfmm.recipe import Recipe
from hfmm.recipe_text import commented


def shown(folder: Path, recipe: Recipe) -> Recipe:
    path = folder / "mine.yaml"
    path.write_text(commented(recipe))
    return recipe_file.load(str(path))


@pytest.mark.parametrize("name", recipe_file.available())
def test_a_shown_recipe_is_the_recipe_with_every_default_spelled_out(name: str, tmp_path: Path) -> None:
    recipe = recipe_file.load(name)
    again = shown(tmp_path, recipe)
    assert again.model_dump(exclude={"task", "data", "model"}) == recipe.model_dump(exclude={"task", "data", "model"})
    assert tasks.resolve(again) == tasks.resolve(recipe)
    assert data.resolve(again.data, {}) == data.resolve(recipe.data, {})
    assert dict(again.model) | dict(recipe.model) == dict(again.model)
    assert commented(again) == commented(recipe)


def test_a_value_longer_than_its_place_stays_apart_from_its_comment(tmp_path: Path) -> None:
    path = "p" * 60
    recipe = recipe_file.load("vit_icons", ["data.builder=folder", f"data.path={path}"])
    assert shown(tmp_path, recipe).data.options["path"] == path


@pytest.mark.parametrize("key", ["vary", "mask", "replace", "ctc", "window_seconds", "language"])
def test_the_keys_of_the_task_and_of_its_models_are_told(key: str) -> None:
    assert re.search(rf"\n  {key}: \S+ +# \w+", commented(recipe_file.load("whisper_verbs")))


def test_the_choices_of_a_key_stand_before_what_it_means() -> None:
    text = commented(recipe_file.load("clip_grammar"))
    assert re.search(r"\n    schedule: cosine +# cosine \| linear \| constant\n", text)
    assert re.search(r"\n  loss: auto +# auto \| softmax \| sigmoid; auto: sigmoid where", text)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("vit_icons", "data.sise=3", "--set data.sise=3: unknown key 'data.sise'. Did you mean 'size'?"),
        ("vit_icons", "data.size=big", "--set data.size=big: 'data.size' is 'big'"),
        ("whisper_verbs", "task.mak=true", "Did you mean 'mask'?"),
        ("llava_tutor", "model.langauge=x", "Did you mean 'language'?"),
    ],
)
def test_a_key_that_its_part_does_not_take_is_named(name: str, change: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        commented(recipe_file.load(name, [change]))
    assert words in str(caught.value)
