"""The spine, from top to bottom: data -> model -> train -> evaluate -> card -> verify."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hfmm import data as datasets_of_recipes
from hfmm import models, registry
from hfmm.card.contact_sheet import contact_sheet
from hfmm.card.model_card import write_card
from hfmm.data.common.screening import drop_invalid_rows, require_columns
from hfmm.errors import UserError
from hfmm.evaluation.evaluate import evaluate
from hfmm.recipe.load import load_recipe
from hfmm.recipe.pinning import pinned_revisions, with_absolute_paths, with_pinned_revisions
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory, primary_record
from hfmm.tasks import resolve
from hfmm.training.train import train
from hfmm.utils import imports
from hfmm.utils.distributed import destroy_process_group, is_main_process, main_process_first
from hfmm.utils.files import COMPLETE, atomic_file
from hfmm.utils.hardware import available_cpus
from hfmm.utils.progress import StepReporter
from hfmm.verify import process
from hfmm.verify.verify import REPRODUCED, verify_with


def run_recipe(recipe: Recipe, out: Path, resume: bool, report: StepReporter) -> RunDirectory:
    """Take a recipe to a verified model in ``out``; with ``resume`` go on where a broken-off run stopped.

    Under `accelerate launch` all processes train, and the main one does what comes after.
    Raises UserError for anything the user can mend; what was done before it is kept.
    """
    imports.silence_libraries()
    validate_recipe(recipe)
    with main_process_first():
        recipe = with_pinned_revisions(with_absolute_paths(recipe), _saved(out) if resume else None)
        directory = RunDirectory.open(recipe, out, resume or not is_main_process())
        data = prepare_data(recipe, directory, report)
        directory.update_results(bases=directory.read_results().get("bases") or pinned_revisions(recipe))
    train(recipe, directory, data, report)
    destroy_process_group()
    if not is_main_process():
        return directory
    trained = directory.read_results()["train"]
    report("train", f"{trained['seconds']} s, {trained['samples_per_second']} rows/s")
    # Opened before there is anything to verify: its imports take about as long as the scores.
    with process.fresh_python(process.offline_env()) as room:
        evaluate(recipe, directory, data)
        best = primary_record(directory)
        report(
            "evaluate",
            f"{best['metric']} {best['value']:.3f} ({best['ci95'][0]:.3f} to {best['ci95'][1]:.3f}, n={best['n']})",
        )
        report("card", str(write_card(directory)))
        count = verify_with(room, recipe, directory)
    report("verify", REPRODUCED.format(count))
    return directory


def open_run(root: Path) -> tuple[Recipe, RunDirectory]:
    """Return the recipe and the directory of an existing run; raises UserError where there is none."""
    imports.silence_libraries()
    directory = RunDirectory.load(root)
    return load_recipe(str(directory.recipe)), directory


def validate_recipe(recipe: Recipe) -> None:
    """Raise UserError for a part that does not exist or does not take its options; nothing heavy is loaded for it."""
    where = recipe.key_locations
    task, _ = resolve(recipe)
    for name in recipe.metrics:
        registry.get("metrics", name, f"{where.get('metrics', 'recipe')}: metrics")
    for name in recipe.baselines:
        probe = registry.get("baselines", name, f"{where.get('probes', 'recipe')}: probes")
        if hasattr(probe, "require"):
            probe.require()
    datasets_of_recipes.find_builder(recipe.data, where)
    if recipe.data.cache_vision_features and not task.accepts_cached_features:
        raise UserError(
            f"{where.get('data.cache_vision_features', 'recipe')}: data.cache_vision_features: the task {recipe.task.name} draws or "
            "reads its inputs anew in each epoch and takes no features in their place. Drop the key."
        )
    if recipe.publish.dtype != "float32" and task.outputs_scores:
        raise UserError(
            f"{where.get('publish.dtype', 'recipe')}: publish.dtype: {recipe.task.name} answers in scores, and with "
            f"weights in {recipe.publish.dtype} plain pipeline gives others than were recorded. Drop the key; "
            "`hfmm predict` computes in bf16 all the same, where that is fast."
        )
    for index, spec in enumerate(recipe.forgetting):
        datasets_of_recipes.find_builder(spec, where, f"elsewhere.{index}")


def prepare_data(recipe: Recipe, directory: RunDirectory, report: StepReporter) -> DatasetDict:
    """Build the data, screen its rows, and record or compare its fingerprint."""
    cache = directory.checkpoints / "data"
    if not (cache / COMPLETE).is_file():
        # A build that was killed leaves locks which its orphaned workers still hold.
        shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    data = datasets_of_recipes.build(recipe.data, recipe.key_locations, cache, available_cpus())
    (cache / COMPLETE).touch()
    task, _ = resolve(recipe)
    require_columns(task.required_columns, data)
    config, processor = models.load_processor(recipe, task.auto_class)
    check_row = task.make_row_validator(config, processor, data["train"].features)
    data, bad = drop_invalid_rows(check_row, data, recipe.data.on_invalid_row)
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
    return load_recipe(str(path)) if path.is_file() else None
