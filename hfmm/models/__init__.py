"""One family a file; `load` finds the family that knows a checkpoint and gives its model and processor."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from datasets import Features

from hfmm import registry
from hfmm.errors import UserError
from hfmm.models.common import checkpoint
from hfmm.models.common.malloc import configure_malloc
from hfmm.recipe.schema import Model, Recipe
from hfmm.recipe.validation import validate


def load(recipe: Recipe, features: Features, auto_class: str) -> tuple[Any, Any]:
    """Return (model, processor) for the recipe's checkpoint, its head shaped for the data's labels.

    ``auto_class`` is the Auto class that the task trains. Raises UserError for a checkpoint that
    cannot be had or that does not fit the task.
    """
    configure_malloc()
    family, *found = _resolve(recipe, auto_class)
    model, processor = family.load(*found, features, auto_class)
    for part in vars(model.config).values():
        if hasattr(part, "_name_or_path"):
            part._name_or_path = ""  # the config of a tower remembers its folder, which is nobody else's business
    return model, processor


def load_original(recipe: Recipe, features: Features, auto_class: str) -> tuple[Any, Any]:
    """Return (model, processor) as the checkpoint comes, without what the recipe alters before it trains.

    What is new in it, such as a head, is drawn as for the first stage. Raises UserError like `load`.
    """
    from transformers import set_seed

    family, source, spec, config, options = _resolve(recipe, auto_class)
    if hasattr(family, "original_options"):
        options = family.original_options(options)
    came = spec.model_copy(update={"init": "pretrained"})
    set_seed(recipe.seed)
    loaded: tuple[Any, Any] = family.load(source, came, config, options, features, auto_class)
    return loaded


def load_processor(recipe: Recipe, auto_class: str) -> tuple[Any, Any]:
    """Return (config, processor) of the recipe's checkpoint, which is what its rows can be checked against.

    Raises UserError like `load`.
    """
    family, *found = _resolve(recipe, auto_class)
    both: tuple[Any, Any] = family.load_processor(*found)
    return both


def is_unmodified_checkpoint(recipe: Recipe, auto_class: str) -> bool:
    """Tell whether the model that a recipe loads is one checkpoint as it comes, to which an adapter can be added."""
    if recipe.model.init == "random":
        return False
    family, *_, options = _resolve(recipe, auto_class)
    return not hasattr(family, "is_unmodified_checkpoint") or bool(family.is_unmodified_checkpoint(options))


def _resolve(recipe: Recipe, auto_class: str) -> tuple[ModuleType, str, Model, Any, Any]:
    """Return the family of the recipe's checkpoint, and what its functions take: source, spec, config, options."""
    source = checkpoint.resolve_checkpoint(recipe.model)
    config = checkpoint.config(source, recipe.model)
    family = find_family(config.model_type, auto_class, recipe.model.checkpoint)
    options = validate(family.OPTIONS, recipe.model.options, recipe.key_locations, prefix="model")
    return family, source, recipe.model, config, options


def find_family(model_type: str, auto_class: str, name: str) -> ModuleType:
    """Return the one family that supports a model type under an Auto class; raises UserError for none."""
    families = registry.load_all("models")
    fitting = [family for family in families.values() if model_type in family.supported_model_types(auto_class)]
    if len(fitting) > 1:
        raise RuntimeError(f"{model_type!r} is claimed by {', '.join(family.__name__ for family in fitting)}")
    if not fitting:
        known = sorted({one for family in families.values() for one in family.supported_model_types(auto_class)})
        shown = ", ".join(known[:30]) + (", ..." if len(known) > 30 else "")
        raise UserError(
            f"model.checkpoint: {name} is a {model_type!r} model, which does not fit this task: it needs one that "
            f"{auto_class} loads ({shown}). Choose another checkpoint, or another task for this one."
        )
    return fitting[0]
