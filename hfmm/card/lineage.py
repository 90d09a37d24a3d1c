"""What a model comes from, run by run: each starts where another ended, back to a checkpoint that is no run's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hfmm.assets import BUILTIN
from hfmm.recipe.load import load_recipe
from hfmm.recipe.pinning import CHECKPOINT_KEYS, is_local_path
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory


class Ancestor(NamedTuple):
    """One step of the way."""

    name: str
    how: str


def ancestors(recipe: Recipe) -> list[Ancestor]:
    """Return the steps from the first checkpoint to this run's own, oldest first."""
    checkpoint = recipe.model.checkpoint
    step = Ancestor(recipe.name, _describe_training(recipe))
    if parent := find_run(checkpoint):
        return [*ancestors(load_recipe(str(parent.recipe))), step]
    if checkpoint.startswith(BUILTIN):
        how = "comes with hfmm; its own card tells how it was made"
    else:
        how = "a folder without a record of how it was made" if is_local_path(checkpoint) else "where it began"
    return [Ancestor(_named(checkpoint), how), step]


def find_run(checkpoint: str) -> RunDirectory | None:
    """Return the run that wrote a checkpoint's folder; none for what is no run's."""
    folder = Path(checkpoint).expanduser()
    run = RunDirectory(folder.parent)
    return run if folder.name == run.model.name and run.recipe.is_file() else None


def display_name(folder: str) -> str:
    """Return the name of a folder; a run's model/ is known by the run."""
    path = Path(folder).expanduser().resolve()
    return path.parent.name if path.name == "model" else path.name


def _named(checkpoint: str) -> str:
    return display_name(checkpoint) if is_local_path(checkpoint) else checkpoint.removeprefix(BUILTIN)


def dataset_name(data: Mapping[str, Any]) -> str:
    """Return what a recipe's data is called: its builder, or of the user's own the Hub id or the folder's name."""
    path = data.get("path")
    return str(data["builder"]) if not path else display_name(path) if is_local_path(path) else str(path)


def _describe_training(recipe: Recipe) -> str:
    shape = " from random weights in that shape" if recipe.model.init == "random" else ""
    stages = ", then ".join(
        f"{stage.name} ({stage.trainable if isinstance(stage.trainable, str) else ', '.join(stage.trainable)})"
        for stage in recipe.stages
    )
    model = recipe.model.model_dump()
    towers = [key for key in CHECKPOINT_KEYS if key != "checkpoint" and model.get(key)]
    others = "".join(f", its {CHECKPOINT_KEYS[key]} from {_named(model[key])}" for key in towers)
    task, rows = recipe.task.name.replace("_", " "), dataset_name(recipe.data.model_dump())
    return f"{task} on `{rows}`{shape}{others}: {stages}"
