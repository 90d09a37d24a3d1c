"""Stages, one after another, each from the folder the last one wrote; a broken-off run goes on where it was."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hfmm import models, parts, stage_result
from hfmm.hardware import environment, is_main_process, main_process_first, peak_memory_mb
from hfmm.models import adapt, attention_kernel, frozen_weights
from hfmm.progress import Report
from hfmm.recipe import Recipe
from hfmm.run_directory import COMPLETE, RunDirectory, atomic_directory, write_json
from hfmm.tasks import resolve
from hfmm.training_arguments import arguments
from hfmm.training_log import StageLog

FEATURES = "features"  # below checkpoints: what frozen towers see


def train(recipe: Recipe, run: RunDirectory, data: DatasetDict, report: Report) -> None:
    """Train every stage that is not yet done, then write the merged model and, where one stands alone, the adapter.

    Raises UserError when a stage's modules do not exist or get no gradient.
    """
    import torch

    with main_process_first():
        pin_environment(recipe, run)
    folders = [run.checkpoints / f"{index}-{stage.name}" for index, stage in enumerate(recipe.stages)]
    for index, folder in enumerate(folders):
        if not (folder / stage_result.RECORD).is_file():
            _train_stage(recipe, index, folder, folders[index - 1] if index else None, run, data, report)
    if not is_main_process():
        return
    _publish(recipe, run, folders[-1], resolve(recipe)[0].auto_class)
    shutil.rmtree(run.checkpoints / FEATURES, ignore_errors=True)
    records = [json.loads((folder / stage_result.RECORD).read_text()) for folder in folders]
    seconds = sum(record["seconds"] for record in records)
    run.update_results(
        train={
            "seconds": round(seconds, 1),
            "samples_per_second": round(sum(record["samples"] for record in records) / seconds, 1),
            "peak_rss_mb": round(peak_memory_mb()),
            "peak_gpu_mb": round(torch.cuda.max_memory_allocated() / 2**20),  # 0 where there is none
            "trainable_parameters": records[-1]["trainable_parameters"],
            "total_parameters": records[-1]["total_parameters"],
            "stages": records,
        }
    )


def pin_environment(recipe: Recipe, run: RunDirectory) -> None:
    """Record threads and precision, or set them to what the run began with: other threads give other bits."""
    import torch

    if not torch.accelerator.is_available():
        # Whisper's decoder looks its positions up by index, and threads would add up that gradient in any order.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # which would take time and change nothing
    path = run.checkpoints / "environment.json"
    if path.is_file():
        torch.set_num_threads(json.loads(path.read_text())["threads"])
    else:
        write_json(path, environment(recipe.precision))
    run.update_results(environment=json.loads(path.read_text()))


def _train_stage(
    recipe: Recipe,
    index: int,
    folder: Path,
    previous: Path | None,
    run: RunDirectory,
    data: DatasetDict,
    report: Report,
) -> None:
    from accelerate import PartialState

    from hfmm import cached_features
    from hfmm.order import Apart, Draws
    from hfmm.trainer import StageTrainer

    stage = recipe.stages[index]
    task_class, options = resolve(recipe)
    begin = partial(_begin, recipe, index, previous, data, task_class.auto_class)
    model, processor = begin()
    if PartialState().device.type == "cpu":
        attention_kernel.write_out_if_short(model)
    family = models.family_of(model.config.model_type, task_class.auto_class, recipe.model.checkpoint)
    whole = [name for one in recipe.stages[:index] if isinstance(one.train, list) for name in one.train]
    for later in range(index + 1, len(recipe.stages)):  # told now, not once this stage has trained
        adapt.require_modules(model, recipe.stages[later], _key(recipe, later))
    model = adapt.prepare(model, stage, family, whole, _key(recipe, index))
    modules = adapt.table(model)
    if bf16 := _computes_in_bf16(run):
        frozen_weights.hold(model)
    report(f"stage {stage.name}", adapt.described(modules))
    task = task_class(model.config, processor, options)
    if previous is None:
        report("labels", task.taught(data["train"][0]))
    if task.joint:
        task.passes = stage.gradient_accumulation
    rows, order = data["train"], None
    if recipe.data.cache_features:
        rows = cached_features.seen(model, task, rows, run.checkpoints / FEATURES, bf16, report)
    if task.draws:
        rows = Draws(rows, recipe.seed + index)
        kept_apart = rows.rows["group" if task.joint else "id"][:]
        order = Apart(kept_apart, stage.batch_size * task.passes, recipe.seed + index)
    with main_process_first():
        resume = _last_complete_checkpoint(folder)
        log = StageLog(run.log, stage.name, resume)
    metric = parts.find("metrics", recipe.metrics[0], "statistics", "metrics")
    trainer = StageTrainer(
        task=task,
        metric=recipe.metrics[0],
        model=model,
        order=order,
        args=arguments(recipe, index, folder, len(rows), metric.GREATER_IS_BETTER, bf16, task.passes),
        train_dataset=rows,
        eval_dataset=data["validation"],
        processing_class=processor,
        callbacks=log.callbacks(task, stage.patience),
    )
    log.take_over(trainer)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    with main_process_first():
        if is_main_process():
            stage_result.write(stage, folder, trainer, task, data, modules, log.seconds(), begin)


def _key(recipe: Recipe, index: int) -> str:
    """Return where a recipe says what a stage trains."""
    return f"{recipe.origins.get(f'stages.{index}.train', 'recipe')}: stages.{recipe.stages[index].name}.train"


def _begin(recipe: Recipe, index: int, previous: Path | None, data: DatasetDict, auto_class: str) -> tuple[Any, Any]:
    """Return (model, processor) as a stage finds them, the same each time."""
    from transformers import set_seed

    set_seed(recipe.seed + index)
    if previous is None:
        return models.load(recipe, data["train"].features, auto_class)
    return models.reload(str(previous / "model"))


def _computes_in_bf16(run: RunDirectory) -> bool:
    return bool(json.loads((run.checkpoints / "environment.json").read_text())["precision"] == "bf16")


def _publish(recipe: Recipe, run: RunDirectory, last: Path, auto_class: str) -> None:
    """Copy the last stage's model, and its adapter where that on its checkpoint is the model, to their fixed places.

    The model is written in the dtype in which it is published.
    """
    with atomic_directory(run.model) as temporary:
        if recipe.publish.dtype == "float32":
            shutil.copytree(last / "model", temporary, dirs_exist_ok=True)
        else:
            # Loaded in it, not cast: some tables keep their precision only so.
            for part in models.reload(str(last / "model"), recipe.publish.dtype):
                part.save_pretrained(temporary)
    if adapt.carried_by_adapter(recipe.stages, last / "adapter") and models.is_the_checkpoint(recipe, auto_class):
        with atomic_directory(run.adapter) as temporary:
            adapt.copy_adapter(last / "adapter", temporary, recipe.model.checkpoint)


def _last_complete_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end, and remove those that were not."""
    complete = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / COMPLETE).is_file():
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=lambda path: int(path.name.partition("-")[2]), default=None)
