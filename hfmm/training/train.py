"""Stages, one after another, each from the folder the last one wrote; a broken-off run goes on where it was."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hfmm import models, registry
from hfmm.models.common.checkpoint import load_saved
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import STAGE_RECORD, RunDirectory
from hfmm.tasks import resolve
from hfmm.training import attention, frozen, stage_output, trainable
from hfmm.training.arguments import training_arguments
from hfmm.training.callbacks import StageLog
from hfmm.utils.distributed import is_main_process, main_process_first
from hfmm.utils.files import COMPLETE, atomic_directory, write_json
from hfmm.utils.hardware import environment_info, peak_memory_mb
from hfmm.utils.progress import StepReporter

FEATURE_CACHE_DIR = "features"  # below checkpoints: what frozen towers see


def train(recipe: Recipe, run: RunDirectory, data: DatasetDict, report: StepReporter) -> None:
    """Train every stage that is not yet done, then write the merged model and, where one stands alone, the adapter.

    Raises UserError when a stage's modules do not exist or get no gradient.
    """
    import torch

    with main_process_first():
        record_or_restore_environment(recipe, run)
    folders = [run.checkpoints / f"{index}-{stage.name}" for index, stage in enumerate(recipe.stages)]
    for index, folder in enumerate(folders):
        if not (folder / STAGE_RECORD).is_file():
            _train_stage(recipe, index, folder, folders[index - 1] if index else None, run, data, report)
    if not is_main_process():
        return
    _export_final_model(recipe, run, folders[-1], resolve(recipe)[0].auto_class)
    shutil.rmtree(run.checkpoints / FEATURE_CACHE_DIR, ignore_errors=True)
    records = [json.loads((folder / STAGE_RECORD).read_text()) for folder in folders]
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


def record_or_restore_environment(recipe: Recipe, run: RunDirectory) -> None:
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
        write_json(path, environment_info(recipe.precision))
    run.update_results(environment=json.loads(path.read_text()))


def _train_stage(
    recipe: Recipe,
    index: int,
    folder: Path,
    previous: Path | None,
    run: RunDirectory,
    data: DatasetDict,
    report: StepReporter,
) -> None:
    from accelerate import PartialState

    from hfmm.training import feature_cache
    from hfmm.training.sampler import EpochSeedDataset, NoDuplicateGroupsSampler
    from hfmm.training.trainer import StageTrainer

    stage = recipe.stages[index]
    task_class, options = resolve(recipe)
    begin = partial(_load_stage_start, recipe, index, previous, data, task_class.auto_class)
    model, processor = begin()
    if PartialState().device.type == "cpu":
        attention.use_eager_attention_if_short(model)
    family = models.find_family(model.config.model_type, task_class.auto_class, recipe.model.checkpoint)
    whole = [name for one in recipe.stages[:index] if isinstance(one.trainable, list) for name in one.trainable]
    for later in range(index + 1, len(recipe.stages)):  # told now, not once this stage has trained
        trainable.check_module_names(model, recipe.stages[later], _train_key(recipe, later))
    model = trainable.set_trainable(model, stage, family, whole, _train_key(recipe, index))
    modules = trainable.parameter_table(model)
    if bf16 := _uses_bf16(run):
        frozen.cast_frozen_to_bf16(model)
    report(f"stage {stage.name}", trainable.format_parameter_table(modules))
    task = task_class(model.config, processor, options)
    if previous is None:
        report("labels", task.describe_labels(data["train"][0]))
    if task.uses_in_batch_negatives:
        task.num_grad_cache_chunks = stage.gradient_accumulation
    rows, order = data["train"], None
    if recipe.data.cache_vision_features:
        rows = feature_cache.with_cached_features(model, task, rows, run.checkpoints / FEATURE_CACHE_DIR, bf16, report)
    if task.random_per_epoch:
        rows = EpochSeedDataset(rows, recipe.seed + index)
        kept_apart = rows.rows["group" if task.uses_in_batch_negatives else "id"][:]
        order = NoDuplicateGroupsSampler(
            kept_apart, stage.per_device_train_batch_size * task.num_grad_cache_chunks, recipe.seed + index
        )
    with main_process_first():
        resume = _last_complete_checkpoint(folder)
        log = StageLog(run.log, stage.name, resume)
    metric = registry.get("metrics", recipe.metrics[0])
    trainer = StageTrainer(
        task=task,
        metric=recipe.metrics[0],
        model=model,
        order=order,
        args=training_arguments(
            recipe, index, folder, len(rows), metric.GREATER_IS_BETTER, bf16, task.num_grad_cache_chunks
        ),
        train_dataset=rows,
        eval_dataset=data["validation"],
        processing_class=processor,
        callbacks=log.callbacks(task, stage.early_stopping_patience),
    )
    log.use_own_progress_bar(trainer)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    with main_process_first():
        if is_main_process():
            stage_output.save_stage(stage, folder, trainer, task, data, modules, log.seconds(), begin)


def _train_key(recipe: Recipe, index: int) -> str:
    """Return where a recipe says what a stage trains."""
    return f"{recipe.key_locations.get(f'stages.{index}.trainable', 'recipe')}: stages.{recipe.stages[index].name}.trainable"


def _load_stage_start(
    recipe: Recipe, index: int, previous: Path | None, data: DatasetDict, auto_class: str
) -> tuple[Any, Any]:
    """Return (model, processor) as a stage finds them, the same each time."""
    from transformers import set_seed

    set_seed(recipe.seed + index)
    if previous is None:
        return models.load(recipe, data["train"].features, auto_class)
    return load_saved(str(previous / "model"))


def _uses_bf16(run: RunDirectory) -> bool:
    return bool(json.loads((run.checkpoints / "environment.json").read_text())["precision"] == "bf16")


def _export_final_model(recipe: Recipe, run: RunDirectory, last: Path, auto_class: str) -> None:
    """Copy the last stage's model, and its adapter where that on its checkpoint is the model, to their fixed places.

    The model is written in the dtype in which it is published.
    """
    with atomic_directory(run.model) as temporary:
        if recipe.publish.dtype == "float32":
            shutil.copytree(last / "model", temporary, dirs_exist_ok=True)
        else:
            # Loaded in it, not cast: some tables keep their precision only so.
            for part in load_saved(str(last / "model"), recipe.publish.dtype):
                part.save_pretrained(temporary)
    if trainable.adapter_is_complete(recipe.stages, last / "adapter") and models.is_unmodified_checkpoint(
        recipe, auto_class
    ):
        with atomic_directory(run.adapter) as temporary:
            trainable.copy_adapter(last / "adapter", temporary, recipe.model.checkpoint)


def _last_complete_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end, and remove those that were not."""
    complete = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / COMPLETE).is_file():
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=lambda path: int(path.name.partition("-")[2]), default=None)
