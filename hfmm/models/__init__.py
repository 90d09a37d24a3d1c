"""One family a file; `load` finds the family that knows a checkpoint and gives its model and processor."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from datasets import Features

from hfmm import parts
from hfmm.errors import UserError
from hfmm.models import checkpoint
from hfmm.models.freed_memory import keep_freed_memory
from hfmm.recipe import Model, Recipe
from hfmm.strict import validate


def load(recipe: Recipe, features: Features, auto_class: str) -> tuple[Any, Any]:
    """Return (model, processor) for the recipe's checkpoint, its head shaped for the data's labels.

    ``auto_class`` is the Auto class that the task trains. Raises UserError for a checkpoint that
    cannot be had or that does not fit the task.
    """
    keep_freed_memory()
    family, *found = _find(recipe, auto_class)
    model, processor = family.load(*found, features, auto_class)
    for part in vars(model.config).values():
        if hasattr(part, "_name_or_path"):
            part._name_or_path = ""  # the config of a tower remembers its folder, which is nobody else's business
    return model, processor


def untouched(recipe: Recipe, features: Features, auto_class: str) -> tuple[Any, Any]:
    """Return (model, processor) as the checkpoint comes, without what the recipe alters before it trains.

    What is new in it, such as a head, is drawn as for the first stage. Raises UserError like `load`.
    """
    from transformers import set_seed

    family, source, spec, config, options = _find(recipe, auto_class)
    if hasattr(family, "untouched"):
        options = family.untouched(options)
    came = spec.model_copy(update={"init": "pretrained"})
    set_seed(recipe.seed)
    loaded: tuple[Any, Any] = family.load(source, came, config, options, features, auto_class)
    return loaded


def processor(recipe: Recipe, auto_class: str) -> tuple[Any, Any]:
    """Return (config, processor) of the recipe's checkpoint, which is what its rows can be checked against.

    Raises UserError like `load`.
    """
    family, *found = _find(recipe, auto_class)
    both: tuple[Any, Any] = family.processor(*found)
    return both


def is_the_checkpoint(recipe: Recipe, auto_class: str) -> bool:
    """Tell whether the model that a recipe loads is one checkpoint as it comes, to which an adapter can be added."""
    if recipe.model.init == "random":
        return False
    family, *_, options = _find(recipe, auto_class)
    return not hasattr(family, "is_the_checkpoint") or bool(family.is_the_checkpoint(options))


def _find(recipe: Recipe, auto_class: str) -> tuple[ModuleType, str, Model, Any, Any]:
    """Return the family of the recipe's checkpoint, and what its functions take: source, spec, config, options."""
    source = checkpoint.locate(recipe.model)
    config = checkpoint.config(source, recipe.model)
    family = family_of(config.model_type, auto_class, recipe.model.checkpoint)
    options = validate(family.Options, recipe.model.options, recipe.origins, prefix="model")
    return family, source, recipe.model, config, options


def family_of(model_type: str, auto_class: str, name: str) -> ModuleType:
    """Return the one family that supports a model type under an Auto class; raises UserError for none."""
    families = parts.modules("models", "supported")
    fitting = [family for family in families.values() if model_type in family.supported(auto_class)]
    if len(fitting) > 1:
        raise RuntimeError(f"{model_type!r} is claimed by {', '.join(family.__name__ for family in fitting)}")
    if not fitting:
        known = sorted({one for family in families.values() for one in family.supported(auto_class)})
        shown = ", ".join(known[:30]) + (", ..." if len(known) > 30 else "")
        raise UserError(
            f"model.checkpoint: {name} is a {model_type!r} model, which does not fit this task: it needs one that "
            f"{auto_class} loads ({shown}). Choose another checkpoint, or another task for this one."
        )
    return fitting[0]


def reload(directory: str, dtype: str = "auto") -> tuple[Any, Any]:
    """Return (model, processor) from a folder that a run wrote; ``auto`` is the dtype it was saved in.

    Raises UserError when the folder does not hold both whole.
    """
    import transformers
    from safetensors import SafetensorError

    keep_freed_memory()
    try:
        config = transformers.AutoConfig.from_pretrained(directory)
        model = getattr(transformers, config.architectures[0]).from_pretrained(directory, dtype=dtype)
        # For a classifier that was a CLIP, AutoProcessor would look for the tokenizer too.
        pictures = "ForImageClassification" in config.architectures[0]
        kind = transformers.AutoImageProcessor if pictures else transformers.AutoProcessor
        return model, kind.from_pretrained(directory)
    except ModuleNotFoundError as error:
        raise UserError(
            f"The model in {directory} needs the package {error.name!r}, which is not installed: "
            f"pip install {error.name}."
        ) from error
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise UserError(f"The model in {directory} does not load: {str(error).strip().splitlines()[0]}") from error
