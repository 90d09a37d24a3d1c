"""The run directory: the paths of its files, and how they are opened, read and updated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from hfmm.errors import UserError
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import FORMAT, Recipe
from hfmm.utils.files import atomic_file, write_json

STAGE_GLOB = "[0-9]*-*"  # the folders of the stages, below checkpoints
STAGE_RECORD = "stage.json"  # written last into the folder of a stage: the stage is finished


class RunDirectory:
    """The folder of a run.

    Args:
        root: The folder. It is not created here.
    """

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
    def open(cls, output_dir: Path, recipe: Recipe, resume: bool) -> RunDirectory:
        """Create the folder of a new run, or open the one in ``output_dir`` to resume it.

        A run that was interrupted before its training is replaced. One that has trained can be resumed with the same
        recipe, or with one that changes unfinished stages only.

        Args:
            output_dir: The folder of the run.
            recipe: The recipe of the run. It is saved.
            resume: Continue the run in ``output_dir``.

        Raises:
            UserError: ``output_dir`` holds something else, or a run of another recipe.
        """
        if output_dir.exists() and not output_dir.is_dir():
            raise UserError(f"{output_dir} is a file, and a run needs a folder. Choose another --out.")
        run = cls(output_dir)
        untrained = _has_no_trained_stage(run)
        saved = run.load_recipe() if resume and run.recipe.is_file() else None
        if saved is not None:
            old_values, new_values = saved.model_dump(), recipe.model_dump()
            changed = [key for key in new_values if new_values[key] != old_values.get(key)]
            if not changed:
                return run
            if not untrained and (changed != ["stages"] or not _changes_only_untrained_stages(run, saved, recipe)):
                raise UserError(
                    f"{output_dir} holds a run of another recipe: {', '.join(changed)} differ. Resume it with its own "
                    f"recipe (`hfmm run {run.recipe} --resume --out {output_dir}`), or choose another --out."
                )
        elif not untrained and output_dir.exists() and any(output_dir.iterdir()):
            if run.recipe.is_file():
                raise UserError(f"{output_dir} already holds a run. Use --resume to continue it, or another --out.")
            raise UserError(f"{output_dir} already holds files that are not a run. Choose another --out.")
        if saved is None or untrained:
            shutil.rmtree(run.checkpoints, ignore_errors=True)
            for path in (run.results, run.samples):
                path.unlink(missing_ok=True)
        with atomic_file(run.recipe) as temporary:
            temporary.write_text(recipe.to_yaml(), encoding="utf-8")
        return run

    @classmethod
    def load(cls, root: Path) -> RunDirectory:
        """Open a finished or interrupted run; raises UserError if the folder does not hold one."""
        run = cls(root)
        if not run.recipe.is_file():
            raise UserError(f"{root} is not a run: it has no recipe.yaml. Give the folder that `hfmm run` wrote.")
        return run

    def load_recipe(self) -> Recipe:
        """Return the saved recipe; raises UserError if another version of hfmm wrote it."""
        check_format(yaml.safe_load(self.recipe.read_text(encoding="utf-8")), self.recipe)
        return load_recipe(str(self.recipe))

    def read_results(self) -> dict[str, Any]:
        """Return results.json; raises UserError if the run has none, or another version of hfmm wrote it."""
        if not self.results.is_file():
            raise UserError(
                f"{self.root} has no results.json: the run was interrupted before its evaluation. "
                f"Finish it with `hfmm run {self.recipe} --resume --out {self.root}`."
            )
        results: dict[str, Any] = json.loads(self.results.read_text(encoding="utf-8"))
        check_format(results, self.results)
        return results

    def update_results(self, **blocks: Any) -> None:
        """Set top-level blocks of results.json and keep the others."""
        results = self.read_results() if self.results.is_file() else {"format": FORMAT}
        write_json(self.results, {**results, **blocks})


def check_format(values: Any, path: Path) -> None:
    """Raise UserError if a file of a run was written by a version of hfmm with other keys."""
    version = values.get("format", 1) if isinstance(values, dict) else 1
    if version != FORMAT:
        raise UserError(
            f"{path} has format {version}, and this version of hfmm reads format {FORMAT}: keys have been renamed. "
            "Use the version that wrote it, or run the recipe again under its new keys (see recipes/README.md)."
        )


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log. A last line that was cut off by a kill is ignored."""
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
    """Return the rows of predictions.parquet; raises UserError if the run was not evaluated."""
    if not run.predictions.is_file():
        raise UserError(
            f"{run.root} has no predictions.parquet: the run was interrupted before its evaluation. Finish it with "
            f"`hfmm run {run.recipe} --resume --out {run.root}`."
        )
    rows: list[dict[str, Any]] = pq.read_table(run.predictions).to_pylist()
    return rows


def _has_no_trained_stage(run: RunDirectory) -> bool:
    was_started = run.recipe.is_file() and run.checkpoints.is_dir() and not run.model.exists()
    return was_started and not any(run.checkpoints.glob(STAGE_GLOB))


def _changes_only_untrained_stages(run: RunDirectory, saved: Recipe, recipe: Recipe) -> bool:
    """Tell whether a recipe changes unfinished stages only. The folders of these stages are then removed."""
    folders = {int(path.name.partition("-")[0]): path for path in run.checkpoints.glob(STAGE_GLOB)}
    num_finished = sum((path / STAGE_RECORD).is_file() for path in folders.values())
    saved_names, new_names = ([stage.name for stage in version.stages] for version in (saved, recipe))
    finished_differ = saved.stages[:num_finished] != recipe.stages[:num_finished]
    if num_finished == len(saved.stages) or saved_names != new_names or finished_differ:
        return False
    for index, path in folders.items():
        if index >= num_finished:
            shutil.rmtree(path)
    return True
