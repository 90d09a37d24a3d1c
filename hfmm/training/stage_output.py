"""The output of a stage: the merged model, the adapter, and the record that marks the stage as complete."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hfmm.models.common.batch import to_model_device
from hfmm.recipe.schema import Stage
from hfmm.run_directory import STAGE_RECORD
from hfmm.tasks import BaseTask
from hfmm.training import frozen, trainable, wise_ft
from hfmm.utils.files import atomic_directory, write_json


def save_stage(
    stage: Stage,
    folder: Path,
    trainer: Any,
    task: BaseTask,
    data: DatasetDict,
    modules: list[trainable.ModuleParameters],
    seconds: float,
    load_initial_model: Callable[[], tuple[Any, Any]],
) -> None:
    """Write the stage's merged model, its adapter and its record, then delete the checkpoints for resuming.

    If training kept frozen weights in bf16 or quantized, they are reloaded in fp32 with ``load_initial_model``. The
    record is written last and marks the stage as complete.
    """
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False, keep_torch_compile=False)
    record: dict[str, Any] = {"name": stage.name, "seconds": round(seconds, 2)}
    is_lora = stage.trainable == "lora"
    if is_lora:
        with atomic_directory(folder / "adapter") as temporary:
            model.save_pretrained(temporary)
    if frozen.has_bf16_weights(model) or frozen.has_quantized_weights(model):
        source, _ = load_initial_model()
        model = (
            trainable.load_adapter(source, folder / "adapter")
            if is_lora
            else frozen.restore_frozen_weights(model, source)
        )
    if is_lora:
        # One row only: with a large vocabulary, the logits of a batch can be larger than the model.
        batch = task.collate([data["train"][0]])
        batch = to_model_device({key: value for key, value in batch.items() if key != "labels"}, model)
        model, record["merge_difference"] = trainable.merge_adapter(model, batch)
    if stage.wise_ft_alpha is not None:
        model = wise_ft.interpolate_weights(load_initial_model()[0], model, stage.wise_ft_alpha)
    with atomic_directory(folder / "model") as temporary:
        model.save_pretrained(temporary)
        trainer.processing_class.save_pretrained(temporary)
    state = trainer.state
    write_json(
        folder / STAGE_RECORD,
        record
        | {
            "steps": state.global_step,
            "epochs": round(state.epoch or 0.0, 3),
            "samples": round((state.epoch or 0.0) * len(data["train"])),
            "best": state.best_metric,
            "trainable_parameters": sum(row.trainable for row in modules),
            "total_parameters": sum(row.parameters for row in modules),
            "modules": [row._asdict() for row in modules],
        },
    )
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
