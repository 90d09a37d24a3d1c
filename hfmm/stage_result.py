"""What a trained stage leaves behind: its model whole, its adapter, and the record that says it is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hfmm.models import adapt, frozen_weights, interpolation
from hfmm.models.placement import placed
from hfmm.recipe import Stage
from hfmm.run_directory import atomic_directory, write_json
from hfmm.tasks import TaskProtocol

RECORD = "stage.json"  # written last into a stage's folder: the stage is done


def write(
    stage: Stage,
    folder: Path,
    trainer: Any,
    task: TaskProtocol,
    data: DatasetDict,
    modules: list[adapt.ModuleRow],
    seconds: float,
    begin: Callable[[], tuple[Any, Any]],
) -> None:
    """Write the stage's merged model and adapter, then the record that says it is done; drop what resuming needed.

    What was frozen is written as ``begin`` reads it again, where training held it in less than fp32.
    """
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False, keep_torch_compile=False)
    record: dict[str, Any] = {"name": stage.name, "seconds": round(seconds, 2)}
    lora = stage.train == "lora"
    if lora:
        with atomic_directory(folder / "adapter") as temporary:
            model.save_pretrained(temporary)
    if frozen_weights.are_held(model):
        source, _ = begin()
        model = adapt.adapted(source, folder / "adapter") if lora else frozen_weights.released(model, source)
    if lora:
        batch = task.collate([data["train"][0]])  # one row: its logits over a large vocabulary outweigh the model
        batch = placed({key: value for key, value in batch.items() if key != "labels"}, model)
        model, record["merge_difference"] = adapt.merge(model, batch)
    if stage.interpolate is not None:
        model = interpolation.interpolate(begin()[0], model, stage.interpolate)
    with atomic_directory(folder / "model") as temporary:
        model.save_pretrained(temporary)
        trainer.processing_class.save_pretrained(temporary)
    state = trainer.state
    write_json(
        folder / RECORD,
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
