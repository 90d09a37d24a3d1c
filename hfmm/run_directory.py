"""The run directory: its fixed places, and writing into it so that a reader sees old or new, never half."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hfmm.errors import UserError
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe
from hfmm.utils.files import atomic_file, write_json

STAGE_GLOB = "[0-9]*-*"  # the folders of stages among the checkpoints
STAGE_RECORD = "stage.json"  # written last into a stage's folder: the stage is done


class RunDirectory:
    """One run on disk; the same places wherever the run came from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recipe = root / "recipe.yaml"
        self.results = root / "results.json"
        self.predictions = root / "predictions.parquet"
        self.log = root / "log.jsonl"
        self.model = root / "model"
        self.adapter = root / "adapter"
        self.int8 = root / "int8"
        self.plots = root / "plots"
        self.samples = root / "samples.png"
        self.checkpoints = root / "checkpoints"
        self.published = root / "published.json"

    @classmethod
    def open(cls, out: Path, recipe: Recipe, resume: bool) -> RunDirectory:
        """Return the folder of a new run, or with ``resume`` of the one that ``out`` holds.

        A run that never came to training gives way to a new one. One that did goes on with the same recipe, or with one
        that changes only stages which are not finished. Raises UserError for whatever else lies there.
        """
        if out.exists() and not out.is_dir():
            raise UserError(f"{out} is a file, and a run needs a folder. Give another --out.")
        directory = cls(out)
        untrained = _has_no_trained_stage(directory)
        saved = load_recipe(str(directory.recipe)) if resume and directory.recipe.is_file() else None
        if saved is not None:
            old, new = saved.model_dump(), recipe.model_dump()
            changed = [key for key in new if new[key] != old.get(key)]
            if not changed:
                return directory
            if not untrained and (
                changed != ["stages"] or not _changes_only_untrained_stages(directory, saved, recipe)
            ):
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

    @classmethod
    def load(cls, root: Path) -> RunDirectory:
        """Open a finished or broken-off run; raises UserError where there is none."""
        run = cls(root)
        if not run.recipe.is_file():
            raise UserError(f"{root} is not a run: it holds no recipe.yaml. Give the folder that `hfmm run` wrote.")
        return run

    def read_results(self) -> dict[str, Any]:
        """Return results.json; raises UserError when the run has not been evaluated."""
        if not self.results.is_file():
            raise UserError(
                f"{self.root} has no results.json: the run did not get to its evaluation. "
                f"Finish it with `hfmm run {self.recipe} --resume --out {self.root}`."
            )
        results: dict[str, Any] = json.loads(self.results.read_text(encoding="utf-8"))
        return results

    def update_results(self, **blocks: Any) -> None:
        """Put top-level blocks into results.json and leave the others as they are."""
        results = self.read_results() if self.results.is_file() else {}
        write_json(self.results, {**results, **blocks})


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a last line that a kill cut off is passed over."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def primary_record(run: RunDirectory) -> dict[str, Any]:
    """Return the record of the primary metric."""
    records = run.read_results()["records"]
    record: dict[str, Any] = next(record for record in records if not record["baseline"] and not record["slice"])
    return record


def format_primary_score(run: RunDirectory) -> str:
    """Return the primary score with its interval and the number of rows, as text."""
    record = primary_record(run)
    low, high = record["ci95"]
    return f"{record['metric']} {record['value']:.3f} ({low:.3f} to {high:.3f}, n={record['n']})"


def read_predictions(run: RunDirectory) -> list[dict[str, Any]]:
    """Return the rows of predictions.parquet; raises UserError for a run that did not get so far."""
    if not run.predictions.is_file():
        raise UserError(
            f"{run.root} has no predictions.parquet, so its training was not finished. Go on with "
            f"`hfmm run {run.recipe} --resume --out {run.root}`."
        )
    rows: list[dict[str, Any]] = pq.read_table(run.predictions).to_pylist()
    return rows


def _has_no_trained_stage(directory: RunDirectory) -> bool:
    there = directory.recipe.is_file() and directory.checkpoints.is_dir() and not directory.model.exists()
    return there and not any(directory.checkpoints.glob(STAGE_GLOB))


def _changes_only_untrained_stages(directory: RunDirectory, saved: Recipe, recipe: Recipe) -> bool:
    """Tell whether a recipe changes only stages that were not finished; what such a one has left is removed."""
    folders = {int(path.name.partition("-")[0]): path for path in directory.checkpoints.glob(STAGE_GLOB)}
    done = sum((path / STAGE_RECORD).is_file() for path in folders.values())
    names = [[stage.name for stage in one.stages] for one in (saved, recipe)]
    if done == len(saved.stages) or names[0] != names[1] or saved.stages[:done] != recipe.stages[:done]:
        return False
    for index, path in folders.items():
        if index >= done:
            shutil.rmtree(path)
    return True
