"""The spine, from top to bottom: data -> model -> train -> evaluate -> card -> verify."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hfmm import data as datasets_of_recipes
from hfmm import libraries, models, parts
from hfmm import recipe_file as recipes
from hfmm.data.contact_sheet import contact_sheet
from hfmm.errors import UserError
from hfmm.evaluation import evaluate, headline
from hfmm.hardware import is_main_process, leave_the_others, main_process_first, processes
from hfmm.opening import opened
from hfmm.progress import Report
from hfmm.provenance import commits, pinned, rooted
from hfmm.publishing import clean_room
from hfmm.publishing.card import write_card
from hfmm.publishing.verify import REPRODUCED, verify_in
from hfmm.recipe import Recipe
from hfmm.run_directory import COMPLETE, RunDirectory, atomic_file
from hfmm.tasks import resolve
from hfmm.tasks.preflight import require_columns, screen
from hfmm.training import train


def run(recipe: Recipe, out: Path, resume: bool, report: Report) -> RunDirectory:
    """Take a recipe to a verified model in ``out``; with ``resume`` go on where a broken-off run stopped.

    Under `accelerate launch` all processes train, and the main one does what comes after.
    Raises UserError for anything the user can mend; what was done before it is kept.
    """
    libraries.imported()
    check(recipe)
    with main_process_first():
        recipe = pinned(rooted(recipe), _saved(out) if resume else None)
        directory = opened(recipe, out, resume or not is_main_process())
        data = prepare_data(recipe, directory, report)
        directory.update_results(bases=directory.read_results().get("bases") or commits(recipe))
    train(recipe, directory, data, report)
    leave_the_others()
    if not is_main_process():
        return directory
    trained = directory.read_results()["train"]
    report("train", f"{trained['seconds']} s, {trained['samples_per_second']} rows/s")
    # Opened before there is anything to verify: its imports take about as long as the scores.
    with clean_room.opened(clean_room.offline()) as room:
        evaluate(recipe, directory, data)
        best = headline(directory)
        report(
            "evaluate",
            f"{best['metric']} {best['value']:.3f} ({best['ci95'][0]:.3f} to {best['ci95'][1]:.3f}, n={best['n']})",
        )
        report("card", str(write_card(directory)))
        count = verify_in(room, recipe, directory)
    report("verify", REPRODUCED.format(count))
    return directory


def open_run(root: Path) -> tuple[Recipe, RunDirectory]:
    """Return the recipe and the directory of an existing run; raises UserError where there is none."""
    libraries.imported()
    directory = RunDirectory.existing(root)
    return recipes.load(str(directory.recipe)), directory


def check(recipe: Recipe) -> None:
    """Raise UserError for a part that does not exist or does not take its options; nothing heavy is loaded for it."""
    where = recipe.origins
    task, _ = resolve(recipe)
    for name in recipe.metrics:
        for face in ("statistics", "GREATER_IS_BETTER"):
            parts.find("metrics", name, face, f"{where.get('metrics', 'recipe')}: metrics")
    for name in recipe.probes:
        for face in ("CONDITION", "predict"):
            probe = parts.find("probes", name, face, f"{where.get('probes', 'recipe')}: probes")
        if hasattr(probe, "require"):
            probe.require()
    datasets_of_recipes.resolve(recipe.data, where)
    if recipe.data.cache_features and not task.takes_features:
        raise UserError(
            f"{where.get('data.cache_features', 'recipe')}: data.cache_features: the task {recipe.task.name} draws or "
            "reads its inputs anew in each epoch and takes no features in their place. Drop the key."
        )
    if recipe.publish.dtype != "float32" and task.scores:
        raise UserError(
            f"{where.get('publish.dtype', 'recipe')}: publish.dtype: {recipe.task.name} answers in scores, and with "
            f"weights in {recipe.publish.dtype} plain pipeline gives others than were recorded. Drop the key; "
            "`hfmm predict` computes in bf16 all the same, where that is fast."
        )
    for index, spec in enumerate(recipe.elsewhere):
        datasets_of_recipes.resolve(spec, where, f"elsewhere.{index}")


def prepare_data(recipe: Recipe, directory: RunDirectory, report: Report) -> DatasetDict:
    """Build the data, screen its rows, and record or compare its fingerprint."""
    cache = directory.checkpoints / "data"
    if not (cache / COMPLETE).is_file():
        # A build that was killed leaves locks which its orphaned workers still hold.
        shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    data = datasets_of_recipes.build(recipe.data, recipe.origins, cache, processes())
    (cache / COMPLETE).touch()
    task, _ = resolve(recipe)
    require_columns(task.columns, data)
    config, processor = models.processor(recipe, task.auto_class)
    check_row = task.checker(config, processor, data["train"].features)
    data, bad = screen(check_row, data, recipe.data.on_bad_row)
    fingerprint = datasets_of_recipes.fingerprint(data)
    known: dict[str, Any] = directory.read_results().get("data", {}) if directory.results.is_file() else {}
    if known and known["fingerprint"] != fingerprint:
        raise UserError(
            f"The data has changed since {directory.root} was begun, so going on would mix two datasets. "
            "Restore it, or start a new run with another --out."
        )
    rows = {split: len(part) for split, part in data.items()}
    directory.update_results(data={"fingerprint": fingerprint, "rows": rows, "skipped": [one._asdict() for one in bad]})
    if not directory.samples.is_file():
        with atomic_file(directory.samples) as temporary:
            contact_sheet(DatasetDict(train=data["train"])).quantize().save(temporary, format="PNG")  # 256 colours
    skipped = f", {len(bad)} skipped" if bad else ""
    report("data", ", ".join(f"{count:,} {split}" for split, count in rows.items()) + skipped)
    return data


def _saved(out: Path) -> Recipe | None:
    path = RunDirectory(out).recipe
    return recipes.load(str(path)) if path.is_file() else None
