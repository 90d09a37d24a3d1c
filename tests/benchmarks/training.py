"""Training measured alike on every side: steps between the first fifth and the last, by the clock of its own loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hfmm.run_directory import read_log
from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks.case import Job, Measured

FIRST = 5  # the first of so many parts of an epoch only warms up, as long as hfmm takes until its log's first line
FORWARD_AND_BACKWARD = 3  # times the operations of a forward pass: the gradient takes two products for each


def own(job: Job, recipe: dict[str, Any]) -> Measured:
    """Train a recipe of one stage as `hfmm run` does, and return rows a second, the first batch's loss and memory."""

    loaded, run, data = run_recipe(job, recipe)
    memory = peak_memory_mb()
    logged = [line for line in read_log(run.log) if "loss" in line]
    first, last = logged[0], logged[-1]
    batch_size = loaded.stages[0].batch_size
    value = batch_size * (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])
    loss, flops = _first_batch(loaded, data["train"], batch_size)
    # As a Trainer's `training_loss`: the mean over all of the run.
    mean = sum(line["loss"] for line in logged) / len(logged)
    return Measured(value, [loss], flops, {"mean loss": mean}, memory)


def run_recipe(job: Job, recipe: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Prepare the data of a recipe and train it; returns the recipe as loaded, the run's folder and the data."""
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
    """Return the loss of the first rows before training, and the operations that training on one row takes."""
    from hfmm.plan import resolve_plan
    from hfmm.utils.hardware import choose_precision

    plan = resolve_plan(recipe)
    model, processor = plan.model.load(rows.features)
    task = plan.make_task(model, processor)
    batch = task.collate([rows[index] for index in range(batch_size)])
    in_bf16 = choose_precision(recipe.precision).name == "bf16"
    loss, flops = counted(lambda: task.loss(model, batch, task.num_items(batch)), in_bf16)
    return loss, FORWARD_AND_BACKWARD * flops / batch_size


def counted(compute: Callable[[], Any], in_bf16: bool) -> tuple[float, float]:
    """Return a loss and the floating-point operations of its forward pass."""
    import torch

    with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
        loss, flops = operations(compute)
    return float(loss), flops


def operations(compute: Callable[[], Any]) -> tuple[Any, float]:
    """Return what ``compute`` returns, and how many floating-point operations its matrix products take."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def blockwise(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping={kernel: blockwise}) as counter:
        found = compute()
    return found, float(counter.get_total_flops())


def plain(
    job: Job, model: Any, rows: Any, collate: Callable[[Sequence[Any]], dict[str, Any]], batch_size: int, in_bf16: bool
) -> Measured:
    """Train with transformers' Trainer as its example scripts set it up."""
    from transformers import Trainer, TrainingArguments

    steps = stopwatch()
    arguments = TrainingArguments(**common(job.scratch, batch_size, in_bf16), remove_unused_columns=False)
    trainer = Trainer(model=model, args=arguments, data_collator=collate, train_dataset=rows, callbacks=[steps])
    batch = collate([rows[index] for index in range(batch_size)])
    before = counted(lambda: model(**batch).loss, in_bf16)
    return watched(trainer, steps, batch_size, before)


def common(out: Path, batch_size: int, in_bf16: bool) -> dict[str, Any]:
    """Return the arguments of one epoch that every Trainer of a peer is given; nothing is saved or reported."""
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


def watched(trainer: Any, steps: Any, batch_size: int, before: tuple[float, float]) -> Measured:
    """Train a Trainer that carries a `stopwatch`; ``before`` is `counted` of its first batch."""
    trained = trainer.train().training_loss
    loss, flops = before
    flops_a_row = FORWARD_AND_BACKWARD * flops / batch_size
    return Measured(rate(steps.times, batch_size), [loss], flops_a_row, {"mean loss": trained})


def stopwatch() -> Any:
    """Return a callback whose ``times`` say when each step ended."""
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.times.append(time.perf_counter())

    return Stopwatch()


def rate(times: Sequence[float], batch_size: int) -> float:
    """Return rows a second from the times at which steps ended, the first fifth of them left out."""
    first = max(1, len(times) // FIRST)
    return batch_size * (len(times) - first) / (times[-1] - times[first - 1])
