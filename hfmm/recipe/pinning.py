"""Pin a recipe when its run begins: absolute paths for local folders, commits for Hub checkpoints."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import hf_hub_download

from hfmm.assets import BUILTIN
from hfmm.recipe.schema import Data, Recipe

# The keys of the model section that name a checkpoint, and which part of the model its weights become.
CHECKPOINT_KEYS = {
    "checkpoint": "weights",
    "text_model": "text tower",
    "language_model": "language model",
    "init_vision_from": "vision tower",
}


def is_local_path(source: str) -> bool:
    """Tell whether a checkpoint or dataset is a local folder.

    An absolute path counts even if the folder no longer exists, see `with_absolute_paths`.
    """
    path = Path(source).expanduser()
    return path.is_absolute() or path.exists()


def revision_key(key: str) -> str:
    """Return the key of the model section that holds the revision of the checkpoint in ``key``."""
    return "revision" if key == "checkpoint" else f"{key}_revision"


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with absolute paths, so that the run can be resumed from any working directory."""
    model = recipe.model.model_dump()
    checkpoints = {key: _absolute_path(model[key]) for key in CHECKPOINT_KEYS if model.get(key)}
    forgetting = [_with_absolute_path(data_options) for data_options in recipe.forgetting]
    update = {"model": recipe.model.model_copy(update=checkpoints), "data": _with_absolute_path(recipe.data)}
    return recipe.model_copy(update=update | {"forgetting": forgetting})


def with_pinned_revisions(recipe: Recipe, saved: Recipe | None) -> Recipe:
    """Return the recipe with the commits of its Hub checkpoints.

    Args:
        recipe: The recipe. Revisions that it sets are kept.
        saved: The recipe of the run to resume, whose commits are reused. Otherwise the newest commits are taken.
    """
    model, saved_model = recipe.model.model_dump(), saved.model.model_dump() if saved is not None else {}
    revisions = {}
    for key in CHECKPOINT_KEYS:
        name, pinned_key = model.get(key), revision_key(key)
        if name and model.get(pinned_key) is None:
            is_same = saved_model.get(key) == name
            revisions[pinned_key] = saved_model.get(pinned_key) if is_same else _newest_commit(name)
    revisions = {key: commit for key, commit in revisions.items() if commit}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=revisions)}) if revisions else recipe


def pinned_revisions(recipe: Recipe) -> dict[str, str]:
    """Return the pinned commit of each Hub checkpoint, by checkpoint, for the record of the run."""
    model = recipe.model.model_dump()
    revisions = {model[key]: model.get(revision_key(key)) for key in CHECKPOINT_KEYS if model.get(key)}
    return {name: commit for name, commit in revisions.items() if commit}


def _with_absolute_path(data_options: Data) -> Data:
    path = data_options.options.get("path")
    if not isinstance(path, str):
        return data_options
    return data_options.model_copy(update={"path": _absolute_path(path)})


def _absolute_path(source: str) -> str:
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() else source


def _newest_commit(checkpoint: str) -> str | None:
    """Return the newest commit of a Hub checkpoint, or without a network the newest cached one.

    Return None if the checkpoint is not on the Hub or its config could not be loaded. Loading the model reports that
    with a better message.
    """
    if checkpoint.startswith(BUILTIN) or is_local_path(checkpoint) or checkpoint.count("/") > 1:
        return None
    try:
        return Path(hf_hub_download(checkpoint, "config.json")).parent.name
    except (OSError, ValueError):
        return None
