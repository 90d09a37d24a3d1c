"""Train the stages of a recipe in order. Each starts from the folder of the one before; finished stages are skipped."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hfmm.models.common.checkpoint import load_saved
from hfmm.plan import Plan
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import STAGE_RECORD, RunDirectory
from hfmm.training import attention, frozen, stage_output, trainable
from hfmm.training.arguments import training_arguments
from hfmm.training.callbacks import StageLog
from hfmm.utils.distributed import is_main_process, main_process_first
from hfmm.utils.files import COMPLETE, atomic_directory, write_json
from hfmm.utils.hardware import environment_info, peak_memory_mb
from hfmm.utils.progress import StepReporter

FEATURE_CACHE_DIR = "features"  # below checkpoints: the features of frozen vision towers


def train(plan: Plan, run: RunDirectory, data: DatasetDict, report: StepReporter) -> None:
    """Train every stage that is not finished, then write the merged model and, where it is complete, the adapter.

    Raises UserError if a module that a stage names does not exist or gets no gradient.
    """
    import torch

    recipe = plan.recipe
    with main_process_first():
        record_or_restore_environment(recipe, run)
    folders = [run.checkpoints / f"{index}-{stage.name}" for index, stage in enumerate(recipe.stages)]
    for index, folder in enumerate(folders):
        if not (folder / STAGE_RECORD).is_file():
            _train_stage(plan, index, folder, folders[index - 1] if index else None, run, data, report)
    if not is_main_process():
        return
    _export_final_model(plan, run, folders[-1])
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
    """Record threads and precision, or restore those that the run began with: another thread count changes the bits."""
    import torch

    if not torch.accelerator.is_available():
        # The gradient of Whisper's decoder positions is a scatter, and threads would add it up in any order.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # it takes time and changes nothing
    path = run.checkpoints / "environment.json"
    if path.is_file():
        torch.set_num_threads(json.loads(path.read_text())["threads"])
    else:
        write_json(path, environment_info(recipe.precision))
    run.update_results(environment=json.loads(path.read_text()))


def _train_stage(
    plan: Plan,
    index: int,
    folder: Path,
    previous_stage_dir: Path | None,
    run: RunDirectory,
    data: DatasetDict,
    report: StepReporter,
) -> None:
    from accelerate import PartialState

    from hfmm.training import feature_cache
    from hfmm.training.sampler import EpochSeedDataset, NoDuplicateGroupsSampler
    from hfmm.training.trainer import StageTrainer

    recipe, stage = plan.recipe, plan.recipe.stages[index]
    load_initial_model = partial(_load_initial_model, plan, index, previous_stage_dir, data)
    model, processor = load_initial_model(quantize=True)
    if PartialState().device.type == "cpu" and "attn_implementation" not in recipe.model.load:
        attention.use_eager_attention_if_short(model)
    family = plan.model.family
    earlier_stages = recipe.stages[:index]
    fully_trained = [
        name for earlier in earlier_stages if isinstance(earlier.trainable, list) for name in earlier.trainable
    ]
    for later in range(index + 1, len(recipe.stages)):  # report a wrong name before this stage trains
        trainable.check_module_names(model, recipe.stages[later], _train_key(recipe, later))
    model = trainable.set_trainable(model, stage, family, fully_trained, _train_key(recipe, index))
    modules = trainable.parameter_table(model)
    if bf16 := _uses_bf16(run):
        frozen.cast_frozen_to_bf16(model)
    report(f"stage {stage.name}", trainable.format_parameter_table(modules))
    task = plan.make_task(model, processor)
    if previous_stage_dir is None:
        report("labels", task.describe_labels(data["train"][0]))
    if task.uses_in_batch_negatives:
        task.num_grad_cache_chunks = stage.gradient_accumulation
    rows, sampler = data["train"], None
    if recipe.data.cache_vision_features:
        rows = feature_cache.with_cached_features(model, task, rows, run.checkpoints / FEATURE_CACHE_DIR, bf16, report)
    if task.random_per_epoch:
        rows = EpochSeedDataset(rows, recipe.seed + index)
        groups = rows.rows["group" if task.uses_in_batch_negatives else "id"][:]
        sampler = NoDuplicateGroupsSampler(
            groups, stage.per_device_train_batch_size * task.num_grad_cache_chunks, recipe.seed + index
        )
    with main_process_first():
        resume = _last_complete_checkpoint(folder)
        log = StageLog(run.log, stage.name, resume)
    metric = plan.metrics[plan.primary_metric]
    trainer = StageTrainer(
        task=task,
        metric=plan.primary_metric,
        metric_module=metric,
        model=model,
        sampler=sampler,
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
            stage_output.save_stage(stage, folder, trainer, task, data, modules, log.seconds(), load_initial_model)


def _train_key(recipe: Recipe, index: int) -> str:
    """Return the recipe key of what a stage trains, with its file and line."""
    location = recipe.key_locations.get(f"stages.{index}.trainable", "recipe")
    return f"{location}: stages.{recipe.stages[index].name}.trainable"


def _load_initial_model(
    plan: Plan, index: int, previous_stage_dir: Path | None, data: DatasetDict, quantize: bool = False
) -> tuple[Any, Any]:
    """Return (model, processor) as they are before a stage. Each call gives the same weights."""
    from transformers import set_seed

    set_seed(plan.recipe.seed + index)
    if previous_stage_dir is None:
        return plan.model.load(data["train"].features, quantize=quantize)
    return plan.model.load_stage(str(previous_stage_dir / "model"), quantize)


def _uses_bf16(run: RunDirectory) -> bool:
    return bool(json.loads((run.checkpoints / "environment.json").read_text())["precision"] == "bf16")


def _export_final_model(plan: Plan, run: RunDirectory, last_stage_dir: Path) -> None:
    """Copy the model of the last stage, in the dtype in which it is published, and its adapter where that is complete.

    An adapter is complete if it alone makes the model out of the checkpoint.
    """
    recipe = plan.recipe
    with atomic_directory(run.model) as temporary:
        if recipe.publish.dtype == "float32":
            shutil.copytree(last_stage_dir / "model", temporary, dirs_exist_ok=True)
        else:
            # Loaded in this dtype instead of cast: some tables keep their precision only this way.
            for part in load_saved(str(last_stage_dir / "model"), recipe.publish.dtype):
                part.save_pretrained(temporary)
    adapter = last_stage_dir / "adapter"
    if trainable.adapter_is_complete(recipe.stages, adapter) and plan.model.is_unmodified_checkpoint():
        with atomic_directory(run.adapter) as temporary:
            trainable.copy_adapter(adapter, temporary, recipe.model.checkpoint)


def _last_complete_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint, and remove incomplete ones."""
    complete = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / COMPLETE).is_file():
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=lambda path: int(path.name.partition("-")[2]), default=None)
