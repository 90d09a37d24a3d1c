"""The training speed of all sides, measured in the same way: the steps after the first fifth of the epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hfmm.run_directory import read_log
from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks.case import Job, Measured

WARMUP_PARTS = 5  # the first fifth of the epoch is warmup; the log of hfmm has its first line at its end
FORWARD_AND_BACKWARD = 3  # in forward passes: the backward pass takes two matrix products for each one


def train_with_hfmm(job: Job, recipe: dict[str, Any]) -> Measured:
    """Train a recipe of one stage as `hfmm run` does. The outputs are the loss of the first batch before training."""
    loaded, run, data = run_recipe(job, recipe)
    memory = peak_memory_mb()
    lines = [line for line in read_log(run.log) if "loss" in line]
    first, last = lines[0], lines[-1]
    batch_size = loaded.stages[0].per_device_train_batch_size
    value = batch_size * (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])
    loss, flops = _first_batch(loaded, data["train"], batch_size)
    # The mean over the complete run, like `training_loss` of the Trainer.
    mean_loss = sum(line["loss"] for line in lines) / len(lines)
    return Measured(value, [loss], flops, {"mean loss": mean_loss}, memory)


def run_recipe(job: Job, recipe: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Prepare the data of a recipe and train it. Return the loaded recipe, the run directory and the data."""
    import yaml

    from hfmm.plan import resolve_plan
    from hfmm.recipe.load import load_recipe
    from hfmm.run import prepare_data
    from hfmm.run_directory import RunDirectory
    from hfmm.training.train import train
    from hfmm.utils import imports

    imports.silence_libraries()
    path = job.scratch / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    loaded, run = load_recipe(str(path)), RunDirectory(job.scratch / "run")
    plan = resolve_plan(loaded)
    data = prepare_data(plan, run, lambda step, text: None)
    train(plan, run, data, lambda step, text: None)
    return loaded, run, data


def _first_batch(recipe: Any, rows: Any, batch_size: int) -> tuple[float, float]:
    """Return the loss of the first batch before training, and the floating-point operations of training on one row."""
    from hfmm.plan import resolve_plan
    from hfmm.utils.hardware import choose_precision

    plan = resolve_plan(recipe)
    model, processor = plan.model.load(rows.features)
    task = plan.make_task(model, processor)
    batch = task.collate([rows[index] for index in range(batch_size)])
    in_bf16 = choose_precision(recipe.precision).name == "bf16"
    loss, flops = loss_and_flops(lambda: task.loss(model, batch, task.num_items(batch)), in_bf16)
    return loss, FORWARD_AND_BACKWARD * flops / batch_size


def loss_and_flops(compute_loss: Callable[[], Any], in_bf16: bool) -> tuple[float, float]:
    """Return a loss and the floating-point operations of its forward pass."""
    import torch

    with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
        loss, flops = count_flops(compute_loss)
    return float(loss), flops


def count_flops(compute: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of ``compute`` and the floating-point operations of its matrix products."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping={kernel: attention_flops}) as counter:
        result = compute()
    return result, float(counter.get_total_flops())


def train_with_trainer(
    job: Job, model: Any, rows: Any, collate: Callable[[Sequence[Any]], dict[str, Any]], batch_size: int, in_bf16: bool
) -> Measured:
    """Train with the Trainer of transformers, with the settings of its example scripts."""
    from transformers import Trainer, TrainingArguments

    step_timer = make_step_timer()
    arguments = TrainingArguments(**common_arguments(job.scratch, batch_size, in_bf16), remove_unused_columns=False)
    trainer = Trainer(model=model, args=arguments, data_collator=collate, train_dataset=rows, callbacks=[step_timer])
    batch = collate([rows[index] for index in range(batch_size)])
    first_batch = loss_and_flops(lambda: model(**batch).loss, in_bf16)
    return train_and_measure(trainer, step_timer, batch_size, first_batch)


def common_arguments(out: Path, batch_size: int, in_bf16: bool) -> dict[str, Any]:
    """Return the training arguments of all peers: one epoch, nothing is saved or reported."""
    return {
        "output_dir": str(out),
        "num_train_epochs": 1,
        "per_device_train_batch_size": batch_size,
        "learning_rate": 5e-5,
        "use_cpu": True,
        "bf16": in_bf16,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def train_and_measure(trainer: Any, step_timer: Any, batch_size: int, first_batch: tuple[float, float]) -> Measured:
    """Train with a Trainer that has a step timer. ``first_batch`` is `loss_and_flops` of its first batch."""
    mean_loss = trainer.train().training_loss
    loss, flops = first_batch
    flops_per_row = FORWARD_AND_BACKWARD * flops / batch_size
    return Measured(rate(step_timer.times, batch_size), [loss], flops_per_row, {"mean loss": mean_loss})


def make_step_timer() -> Any:
    """Return a callback that records the end of each step in ``times``."""
    from transformers import TrainerCallback

    class StepTimer(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.times.append(time.perf_counter())

    return StepTimer()


def rate(times: Sequence[float], batch_size: int) -> float:
    """Return the rows per second from the end times of the steps, without the first fifth of the steps."""
    num_warmup = max(1, len(times) // WARMUP_PARTS)
    return batch_size * (len(times) - num_warmup) / (times[-1] - times[num_warmup - 1])
