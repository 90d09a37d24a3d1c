"""Where a run is written: a new folder, one to go on with, or one whose run ended before there was anything to keep."""

from __future__ import annotations

import shutil
from pathlib import Path

from hfmm import recipe_file as recipes
from hfmm import stage_result
from hfmm.errors import UserError
from hfmm.recipe import Recipe
from hfmm.run_directory import RunDirectory, atomic_file

STAGES = "[0-9]*-*"  # the folders of stages among the checkpoints


def opened(recipe: Recipe, out: Path, resume: bool) -> RunDirectory:
    """Return the folder of a new run, or with ``resume`` of the one that ``out`` holds.

    A run that never came to training gives way to a new one. One that did goes on with the same recipe, or with one
    that changes only stages which are not finished. Raises UserError for whatever else lies there.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, and a run needs a folder. Give another --out.")
    directory = RunDirectory(out)
    untrained = _ended_before_training(directory)
    saved = recipes.load(str(directory.recipe)) if resume and directory.recipe.is_file() else None
    if saved is not None:
        old, new = saved.model_dump(), recipe.model_dump()
        changed = [key for key in new if new[key] != old.get(key)]
        if not changed:
            return directory
        if not untrained and (changed != ["stages"] or not _only_what_is_not_trained(directory, saved, recipe)):
            raise UserError(
                f"{out} holds a run of another recipe: {', '.join(changed)} differ. Resume it as it was "
                f"(`hfmm run {directory.recipe} --resume --out {out}`), or give another --out."
            )
    elif not untrained and out.exists() and any(out.iterdir()):
        if directory.recipe.is_file():
            raise UserError(f"{out} already holds a run. Go on with --resume, or give another --out.")
        raise UserError(f"{out} already holds files that are no run. Give another --out.")
    if saved is None or untrained:
        shutil.rmtree(directory.checkpoints, ignore_errors=True)
        for left in (directory.results, directory.samples):
            left.unlink(missing_ok=True)
    with atomic_file(directory.recipe) as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")
    return directory


def _ended_before_training(directory: RunDirectory) -> bool:
    there = directory.recipe.is_file() and directory.checkpoints.is_dir() and not directory.model.exists()
    return there and not any(directory.checkpoints.glob(STAGES))


def _only_what_is_not_trained(directory: RunDirectory, saved: Recipe, recipe: Recipe) -> bool:
    """Tell whether a recipe changes only stages that were not finished; what such a one has left is removed."""
    folders = {int(path.name.partition("-")[0]): path for path in directory.checkpoints.glob(STAGES)}
    done = sum((path / stage_result.RECORD).is_file() for path in folders.values())
    names = [[stage.name for stage in one.stages] for one in (saved, recipe)]
    if done == len(saved.stages) or names[0] != names[1] or saved.stages[:done] != recipe.stages[:done]:
        return False
    for index, path in folders.items():
        if index >= done:
            shutil.rmtree(path)
    return True
