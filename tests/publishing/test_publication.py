from __future__ import annotations

from pathlib import Path

import yaml

from hfmm import recipe_file as recipes
from hfmm.publishing.publication import Base, Publication, base_words, recipe_text
from hfmm.recipe import Recipe

OLD, A, B = "0" * 40, "a" * 40, "b" * 40


def published(recipe: Recipe, **bases: Base) -> dict[str, object]:
    """The model of a recipe as it is published, its bases by the keys that name them."""
    model = recipe.model.model_dump()
    place = Publication("me/model", bases={model[key]: base for key, base in bases.items()})
    text = recipe_text(recipe.to_yaml(), recipe.model_dump(mode="json"), place)
    found: dict[str, object] = yaml.safe_load(text)["model"]
    return found


def test_embedded_checkpoints_are_named_where_they_went_each_at_its_commit() -> None:
    model = published(recipes.load("llava_tutor"), checkpoint=Base("me/siglip", A), language=Base("me/llm", B))
    assert (model["checkpoint"], model["revision"]) == ("me/siglip", A)
    assert (model["language"], model["language_revision"]) == ("me/llm", B)
    assert model["max_new_tokens"] == 24


def test_a_commit_that_was_pinned_already_stands_there_once() -> None:
    recipe = recipes.load("lit_pages", [f"model.revision='{OLD}'", f"model.text_revision='{OLD}'"])
    names = recipe.model.checkpoint, recipe.model.options["text"]
    place = Publication("me/model", bases={name: Base(name, A) for name in names})
    text = recipe_text(recipe.to_yaml(), recipe.model_dump(mode="json"), place)
    assert OLD not in text
    assert text.count(f"revision: {A}\n") == 2


def test_before_it_is_known_no_commit_is_named() -> None:
    model = published(recipes.load("llava_tutor"), checkpoint=Base("me/siglip", None), language=Base("me/llm", None))
    assert model.get("revision") is None and "language_revision" not in model


def test_a_base_is_named_as_a_stranger_can_find_it(tmp_path: Path) -> None:
    assert base_words("builtin:tiny-vit", None) == "`tiny-vit` (comes with hfmm)"
    assert base_words(str(tmp_path / "mine"), None) == "the folder `mine`"
    assert base_words("lab/model", None) == "`lab/model`"
    published = Publication("me/x", bases={"builtin:tiny-vit": Base("me/tiny-vit", "c0ffee0123")})
    at = "[`me/tiny-vit`](https://huggingface.co/me/tiny-vit) at `c0ffee01`"
    assert base_words("builtin:tiny-vit", published) == at
