"""The lineage of a model: the runs that made it, back to a checkpoint that was not made by a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hfmm.assets import BUILTIN
from hfmm.recipe.pinning import CHECKPOINT_KEYS, is_local_path
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory


class Ancestor(NamedTuple):
    """A checkpoint or a run of the lineage."""

    name: str
    how: str


def ancestors(recipe: Recipe) -> list[Ancestor]:
    """Return the first checkpoint and the runs up to this one, oldest first."""
    checkpoint = recipe.model.checkpoint
    step = Ancestor(recipe.name, _describe_training(recipe))
    if parent := find_run(checkpoint):
        return [*ancestors(parent.load_recipe()), step]
    if checkpoint.startswith(BUILTIN):
        how = "comes with hfmm and has its own card"
    else:
        how = "a local folder without a run record" if is_local_path(checkpoint) else "the initial checkpoint"
    return [Ancestor(_checkpoint_name(checkpoint), how), step]


def find_run(checkpoint: str) -> RunDirectory | None:
    """Return the run that wrote the folder of a checkpoint, or None."""
    folder = Path(checkpoint).expanduser()
    run = RunDirectory(folder.parent)
    return run if folder.name == run.model.name and run.recipe.is_file() else None


def display_name(folder: str) -> str:
    """Return the name of a folder. The model/ of a run has the name of the run."""
    path = Path(folder).expanduser().resolve()
    return path.parent.name if path.name == "model" else path.name


def _checkpoint_name(checkpoint: str) -> str:
    return display_name(checkpoint) if is_local_path(checkpoint) else checkpoint.removeprefix(BUILTIN)


def dataset_name(data: Mapping[str, Any]) -> str:
    """Return the name of the dataset of a recipe: its builder, its Hub id, or the name of its local folder."""
    path = data.get("path")
    return str(data["builder"]) if not path else display_name(path) if is_local_path(path) else str(path)


def _describe_training(recipe: Recipe) -> str:
    init = " from random weights" if recipe.model.init == "random" else ""
    stages = ", then ".join(
        f"{stage.name} ({stage.trainable if isinstance(stage.trainable, str) else ', '.join(stage.trainable)})"
        for stage in recipe.stages
    )
    model = recipe.model.model_dump()
    towers = [key for key in CHECKPOINT_KEYS if key != "checkpoint" and model.get(key)]
    others = "".join(f", its {CHECKPOINT_KEYS[key]} from {_checkpoint_name(model[key])}" for key in towers)
    task, rows = recipe.task.name.replace("_", " "), dataset_name(recipe.data.model_dump())
    return f"{task} on `{rows}`{init}{others}: {stages}"
