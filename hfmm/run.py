"""The spine of a run, from top to bottom: data, training, evaluation, card, verification."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hfmm.card.contact_sheet import contact_sheet
from hfmm.card.model_card import write_card
from hfmm.errors import UserError
from hfmm.evaluation.evaluate import evaluate
from hfmm.plan import Plan, resolve_plan
from hfmm.recipe.pinning import pinned_revisions, with_absolute_paths, with_pinned_revisions
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory, format_primary_score
from hfmm.training.train import train
from hfmm.utils import imports
from hfmm.utils.distributed import destroy_process_group, is_main_process, main_process_first
from hfmm.utils.files import COMPLETE, atomic_file
from hfmm.utils.hardware import available_cpus
from hfmm.utils.progress import StepReporter
from hfmm.verify.process import fresh_python, offline_env
from hfmm.verify.verify import VERIFIED, verify_with


def run_recipe(recipe: Recipe, output_dir: Path, resume: bool, report: StepReporter) -> RunDirectory:
    """Run a recipe: build the data, train, score the saved model, write its card and verify it in a clean process.

    Under `accelerate launch` all processes train, and rank 0 does the rest.

    Args:
        recipe: The recipe.
        output_dir: The folder of the run.
        resume: Continue an interrupted run in ``output_dir``.
        report: Called with the name of each step and its result.

    Returns:
        The run directory.

    Raises:
        UserError: Something that the user can fix. What was done before is kept.
    """
    imports.silence_libraries()
    plan = resolve_plan(recipe)
    with main_process_first():
        recipe = with_pinned_revisions(with_absolute_paths(recipe), _saved_recipe(output_dir) if resume else None)
        plan = dataclasses.replace(plan, recipe=recipe)
        run = RunDirectory.open(output_dir, recipe, resume or not is_main_process())
        data = prepare_data(plan, run, report)
    train(plan, run, data, report)
    destroy_process_group()
    if not is_main_process():
        return run
    report("train", _training_summary(run))
    # The fresh process imports transformers while this one scores.
    with fresh_python(offline_env()) as python:
        saved = evaluate(plan, run, data)
        report("evaluate", format_primary_score(run))
        report("card", str(write_card(plan, run, saved)))
        report("verify", VERIFIED.format(verify_with(python, plan, run, saved)))
    return run


def open_run(output_dir: Path) -> tuple[Plan, RunDirectory]:
    """Return the plan and the directory of an existing run; raises UserError if there is none."""
    imports.silence_libraries()
    run = RunDirectory.load(output_dir)
    return resolve_plan(run.load_recipe()), run


def prepare_data(plan: Plan, run: RunDirectory, report: StepReporter) -> DatasetDict:
    """Return the splits of the dataset, every row checked, and record their fingerprint.

    Raises:
        UserError: A row cannot be used, or the data has changed since the run began.
    """
    cache = run.checkpoints / "data"
    if not (cache / COMPLETE).is_file():
        # A killed build leaves locks that its orphaned workers still hold.
        shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    dataset = plan.build_dataset(cache, available_cpus())
    (cache / COMPLETE).touch()
    results: dict[str, Any] = run.read_results() if run.results.is_file() else {}
    if results.get("data") and results["data"]["fingerprint"] != dataset.fingerprint:
        raise UserError(
            f"The data has changed since {run.root} began, so resuming would mix two datasets. Restore the data, or "
            "start a new run with another --out."
        )
    num_rows = {split: len(rows) for split, rows in dataset.splits.items()}
    run.update_results(
        data={
            "fingerprint": dataset.fingerprint,
            "rows": num_rows,
            "skipped": [row._asdict() for row in dataset.invalid_rows],
        },
        bases=results.get("bases") or pinned_revisions(plan.recipe),
    )
    if not run.samples.is_file():
        with atomic_file(run.samples) as temporary:
            sheet = contact_sheet(DatasetDict(train=dataset.splits["train"]))
            sheet.quantize().save(temporary, format="PNG")  # 256 colors
    skipped = f", {len(dataset.invalid_rows)} skipped" if dataset.invalid_rows else ""
    report("data", ", ".join(f"{count:,} {split}" for split, count in num_rows.items()) + skipped)
    return dataset.splits


def _training_summary(run: RunDirectory) -> str:
    training = run.read_results()["train"]
    return f"{training['seconds']} s, {training['samples_per_second']} rows/s"


def _saved_recipe(output_dir: Path) -> Recipe | None:
    run = RunDirectory(output_dir)
    return run.load_recipe() if run.recipe.is_file() else None
