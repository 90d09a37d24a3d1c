"""Where a run's weights come from: the commit of each Hub checkpoint, pinned when the run begins."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import hf_hub_download

from hfmm.models.checkpoint import BUILTIN
from hfmm.recipe import Recipe

KEYS = ("checkpoint", "text", "language", "vision")  # where a recipe's model names what it takes weights from


def pinned(recipe: Recipe, saved: Recipe | None) -> Recipe:
    """Return the recipe with the commit of its Hub checkpoint: the one the run was begun with, else the newest."""
    model = recipe.model
    if model.revision is not None:
        return recipe
    same = saved is not None and saved.model.checkpoint == model.checkpoint
    commit = saved.model.revision if saved is not None and same else _commit(model.checkpoint)
    return recipe.model_copy(update={"model": model.model_copy(update={"revision": commit})}) if commit else recipe


def commits(recipe: Recipe) -> dict[str, str]:
    """Return the commit of every Hub checkpoint that the recipe's model names, for the run record."""
    named = {key: value for key, value in recipe.model.model_dump().items() if key in KEYS and value}
    found = {value: recipe.model.revision if key == "checkpoint" else None for key, value in named.items()}
    found = {value: commit or _commit(value) for value, commit in found.items()}
    return {value: commit for value, commit in found.items() if commit}


def _commit(checkpoint: str) -> str | None:
    """Return the commit that a Hub id stands for now, or last did where there is no network; none for what is no id.

    What cannot be had is not told here: loading it says more.
    """
    if checkpoint.startswith(BUILTIN) or Path(checkpoint).expanduser().exists() or checkpoint.count("/") > 1:
        return None
    try:
        return Path(hf_hub_download(checkpoint, "config.json")).parent.name
    except (OSError, ValueError):
        return None
