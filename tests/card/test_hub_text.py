from __future__ import annotations

from pathlib import Path

import yaml

from hfmm.card.hub_text import HubLocation, HubRevision, base_model_markdown, recipe_text
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe

OLD, A, B = "0" * 40, "a" * 40, "b" * 40


def published_model(recipe: Recipe, **bases: HubRevision) -> dict[str, object]:
    """Return the section model of a published recipe; the bases are given by their recipe keys."""
    model = recipe.model.model_dump()
    location = HubLocation("me/model", bases={model[key]: base for key, base in bases.items()})
    text = recipe_text(recipe.to_yaml(), recipe.model_dump(mode="json"), location)
    section: dict[str, object] = yaml.safe_load(text)["model"]
    return section


def test_builtin_checkpoints_are_named_by_repository_and_commit() -> None:
    model = published_model(
        load_recipe("llava_tutor"), checkpoint=HubRevision("me/siglip", A), language_model=HubRevision("me/llm", B)
    )
    assert (model["checkpoint"], model["revision"]) == ("me/siglip", A)
    assert (model["language_model"], model["language_model_revision"]) == ("me/llm", B)
    assert model["max_new_tokens"] == 24


def test_pinned_revision_is_replaced_and_not_repeated() -> None:
    recipe = load_recipe("lit_pages", [f"model.revision='{OLD}'", f"model.text_model_revision='{OLD}'"])
    names = recipe.model.checkpoint, recipe.model.options["text_model"]
    location = HubLocation("me/model", bases={name: HubRevision(name, A) for name in names})
    text = recipe_text(recipe.to_yaml(), recipe.model_dump(mode="json"), location)
    assert OLD not in text
    assert text.count(f"revision: {A}\n") == 2


def test_unknown_commit_is_left_out() -> None:
    model = published_model(
        load_recipe("llava_tutor"),
        checkpoint=HubRevision("me/siglip", None),
        language_model=HubRevision("me/llm", None),
    )
    assert model.get("revision") is None and "language_model_revision" not in model


def test_base_model_is_named_by_hub_id_or_folder(tmp_path: Path) -> None:
    assert base_model_markdown("builtin:tiny-vit", None) == "`tiny-vit` (comes with hfmm)"
    assert base_model_markdown(str(tmp_path / "mine"), None) == "the folder `mine`"
    assert base_model_markdown("lab/model", None) == "`lab/model`"
    location = HubLocation("me/x", bases={"builtin:tiny-vit": HubRevision("me/tiny-vit", "c0ffee0123")})
    link = "[`me/tiny-vit`](https://huggingface.co/me/tiny-vit) at `c0ffee01`"
    assert base_model_markdown("builtin:tiny-vit", location) == link
