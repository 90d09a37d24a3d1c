import re
from pathlib import Path

import pytest

from hfmm import data
from hfmm.errors import UserError
from hfmm.plan import resolve_task
from hfmm.recipe.annotate import to_annotated_yaml
from hfmm.recipe.load import list_recipes, load_recipe
from hfmm.recipe.schema import Recipe


def shown(folder: Path, recipe: Recipe) -> Recipe:
    path = folder / "mine.yaml"
    path.write_text(to_annotated_yaml(recipe))
    return load_recipe(str(path))


@pytest.mark.parametrize("name", list_recipes())
def test_a_shown_recipe_is_the_recipe_with_every_default_spelled_out(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    again = shown(tmp_path, recipe)
    assert again.model_dump(exclude={"task", "data", "model"}) == recipe.model_dump(exclude={"task", "data", "model"})
    assert resolve_task(again) == resolve_task(recipe)
    assert data.find_builder(again.data, {}) == data.find_builder(recipe.data, {})
    assert dict(again.model) | dict(recipe.model) == dict(again.model)
    assert to_annotated_yaml(again) == to_annotated_yaml(recipe)


def test_a_value_longer_than_its_place_stays_apart_from_its_comment(tmp_path: Path) -> None:
    path = "p" * 60
    recipe = load_recipe("vit_icons", ["data.builder=folder", f"data.path={path}"])
    assert shown(tmp_path, recipe).data.options["path"] == path


@pytest.mark.parametrize(
    "key", ["augment_prob", "spec_augment", "decoder_noise", "ctc_weight", "window_seconds", "language"]
)
def test_the_keys_of_the_task_and_of_its_models_are_told(key: str) -> None:
    assert re.search(rf"\n  {key}: \S+ +# \w+", to_annotated_yaml(load_recipe("whisper_verbs")))


def test_the_choices_of_a_key_stand_before_what_it_means() -> None:
    text = to_annotated_yaml(load_recipe("clip_grammar"))
    assert re.search(r"\n    lr_scheduler_type: cosine +# cosine \| linear \| constant_with_warmup\n", text)
    assert re.search(r"\n  loss: auto +# auto \| softmax \| sigmoid; auto: sigmoid where", text)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("vit_icons", "data.sise=3", "--set data.sise=3: unknown key 'data.sise'. Did you mean 'size'?"),
        ("vit_icons", "data.size=big", "--set data.size=big: 'data.size' is 'big'"),
        ("whisper_verbs", "task.spec_augmnt=true", "Did you mean 'spec_augment'?"),
        ("llava_tutor", "model.langauge_model=x", "Did you mean 'language_model'?"),
    ],
)
def test_a_key_that_its_part_does_not_take_is_named(name: str, change: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        to_annotated_yaml(load_recipe(name, [change]))
    assert words in str(caught.value)
