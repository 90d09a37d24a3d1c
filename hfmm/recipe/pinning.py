"""Where a run's weights and rows come from, fixed when it begins: folders by their whole path, Hub ids by a commit."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import hf_hub_download

from hfmm.assets import BUILTIN
from hfmm.recipe.schema import Data, Recipe

# Where a recipe's model names what it takes weights from, and what these are of the model.
CHECKPOINT_KEYS = {
    "checkpoint": "weights",
    "text_model": "text tower",
    "language_model": "language model",
    "init_vision_from": "vision tower",
}


def is_local_path(source: str) -> bool:
    """Tell whether a checkpoint or dataset lies on this machine, or lay there when the run began (see `rooted`)."""
    path = Path(source).expanduser()
    return path.is_absolute() or path.exists()


def revision_key(key: str) -> str:
    """Return where a recipe's model has the commit of the checkpoint that it names under ``key``."""
    return "revision" if key == "checkpoint" else f"{key}_revision"


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with its folders by absolute paths, so that the run stays itself wherever it is called from."""
    model = recipe.model.model_dump()
    named = {key: _rooted(model[key]) for key in CHECKPOINT_KEYS if model.get(key)}
    others = [_with_rooted_path(one) for one in recipe.forgetting]
    update = {"model": recipe.model.model_copy(update=named), "data": _with_rooted_path(recipe.data)}
    return recipe.model_copy(update=update | {"forgetting": others})


def with_pinned_revisions(recipe: Recipe, saved: Recipe | None) -> Recipe:
    """Return the recipe with the commits of its Hub checkpoints: those the run was begun with, else the newest."""
    model, old = recipe.model.model_dump(), saved.model.model_dump() if saved is not None else {}
    found = {}
    for key in CHECKPOINT_KEYS:
        name, where = model.get(key), revision_key(key)
        if name and model.get(where) is None:
            found[where] = old.get(where) if old.get(key) == name else _commit(name)
    found = {where: commit for where, commit in found.items() if commit}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=found)}) if found else recipe


def pinned_revisions(recipe: Recipe) -> dict[str, str]:
    """Return the commit of every checkpoint that a `pinned` recipe takes from the Hub, for the run record."""
    model = recipe.model.model_dump()
    named = {model[key]: model.get(revision_key(key)) for key in CHECKPOINT_KEYS if model.get(key)}
    return {name: commit for name, commit in named.items() if commit}


def _with_rooted_path(data: Data) -> Data:
    path = data.options.get("path")
    return data.model_copy(update={"path": _rooted(path)}) if isinstance(path, str) else data


def _rooted(source: str) -> str:
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() else source


def _commit(checkpoint: str) -> str | None:
    """Return the commit that a Hub id stands for now, or last did where there is no network; none for what is no id.

    What cannot be had is not told here: loading it says more.
    """
    if checkpoint.startswith(BUILTIN) or is_local_path(checkpoint) or checkpoint.count("/") > 1:
        return None
    try:
        return Path(hf_hub_download(checkpoint, "config.json")).parent.name
    except (OSError, ValueError):
        return None
