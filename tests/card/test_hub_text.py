from __future__ import annotations

from pathlib import Path

import yaml

from hfmm.card.hub_text import HubLocation, HubRevision, base_model_markdown, recipe_text
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe

OLD, A, B = "0" * 40, "a" * 40, "b" * 40


def published(recipe: Recipe, **bases: HubRevision) -> dict[str, object]:
    """The model of a recipe as it is published, its bases by the keys that name them."""
    model = recipe.model.model_dump()
    place = HubLocation("me/model", bases={model[key]: base for key, base in bases.items()})
    text = recipe_text(recipe.to_yaml(), recipe.model_dump(mode="json"), place)
    found: dict[str, object] = yaml.safe_load(text)["model"]
    return found


def test_embedded_checkpoints_are_named_where_they_went_each_at_its_commit() -> None:
    model = published(
        load_recipe("llava_tutor"), checkpoint=HubRevision("me/siglip", A), language_model=HubRevision("me/llm", B)
    )
    assert (model["checkpoint"], model["revision"]) == ("me/siglip", A)
    assert (model["language_model"], model["language_model_revision"]) == ("me/llm", B)
    assert model["max_new_tokens"] == 24


def test_a_commit_that_was_pinned_already_stands_there_once() -> None:
    recipe = load_recipe("lit_pages", [f"model.revision='{OLD}'", f"model.text_model_revision='{OLD}'"])
    names = recipe.model.checkpoint, recipe.model.options["text_model"]
    place = HubLocation("me/model", bases={name: HubRevision(name, A) for name in names})
    text = recipe_text(recipe.to_yaml(), recipe.model_dump(mode="json"), place)
    assert OLD not in text
    assert text.count(f"revision: {A}\n") == 2


def test_before_it_is_known_no_commit_is_named() -> None:
    model = published(
        load_recipe("llava_tutor"),
        checkpoint=HubRevision("me/siglip", None),
        language_model=HubRevision("me/llm", None),
    )
    assert model.get("revision") is None and "language_model_revision" not in model


def test_a_base_is_named_as_a_stranger_can_find_it(tmp_path: Path) -> None:
    assert base_model_markdown("builtin:tiny-vit", None) == "`tiny-vit` (comes with hfmm)"
    assert base_model_markdown(str(tmp_path / "mine"), None) == "the folder `mine`"
    assert base_model_markdown("lab/model", None) == "`lab/model`"
    published = HubLocation("me/x", bases={"builtin:tiny-vit": HubRevision("me/tiny-vit", "c0ffee0123")})
    at = "[`me/tiny-vit`](https://huggingface.co/me/tiny-vit) at `c0ffee01`"
    assert base_model_markdown("builtin:tiny-vit", published) == at
