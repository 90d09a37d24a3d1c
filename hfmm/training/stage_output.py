"""What a trained stage leaves behind: its model whole, its adapter, and the record that says it is done."""

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
    begin: Callable[[], tuple[Any, Any]],
) -> None:
    """Write the stage's merged model and adapter, then the record that says it is done; drop what resuming needed.

    What was frozen is written as ``begin`` reads it again, where training held it in less than fp32.
    """
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False, keep_torch_compile=False)
    record: dict[str, Any] = {"name": stage.name, "seconds": round(seconds, 2)}
    lora = stage.trainable == "lora"
    if lora:
        with atomic_directory(folder / "adapter") as temporary:
            model.save_pretrained(temporary)
    if frozen.has_bf16_weights(model):
        source, _ = begin()
        model = (
            trainable.load_adapter(source, folder / "adapter") if lora else frozen.restore_frozen_weights(model, source)
        )
    if lora:
        batch = task.collate([data["train"][0]])  # one row: its logits over a large vocabulary outweigh the model
        batch = to_model_device({key: value for key, value in batch.items() if key != "labels"}, model)
        model, record["merge_difference"] = trainable.merge_adapter(model, batch)
    if stage.wise_ft_alpha is not None:
        model = wise_ft.interpolate_weights(begin()[0], model, stage.wise_ft_alpha)
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
