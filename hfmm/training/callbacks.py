"""The callbacks of a stage: the log, the progress bar, time-based saving, early stopping and the gradient check."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.trainer_utils import rotate_checkpoints

from hfmm.errors import UserError
from hfmm.run_directory import read_log
from hfmm.tasks import BaseTask
from hfmm.training import trainable
from hfmm.utils.files import COMPLETE, atomic_file

SAVE_AFTER_SECONDS = 300  # long epochs are also saved midway, so that a killed run loses only minutes
SYNC_EVERY_STEPS = 10  # steps between two broadcasts of the decision of rank 0, for which all processes wait


class SaveByTimeCallback(TrainerCallback):
    """Saves a checkpoint when the last one is too old.

    With several processes the clock of rank 0 decides, because a process that saves waits for the others.
    """

    def __init__(self) -> None:
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Request a checkpoint if the last one is too old."""
        is_due = time.monotonic() - self.last > SAVE_AFTER_SECONDS
        if args.world_size > 1:
            is_due = state.global_step % SYNC_EVERY_STEPS == 0 and _broadcast_from_rank0(is_due, args.device)
        if is_due:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Restart the clock."""
        self.last = time.monotonic()


def _broadcast_from_rank0(flag: bool, device: Any) -> bool:
    import torch

    tensor = torch.tensor(int(flag), device=device)
    torch.distributed.broadcast(tensor, 0)
    return bool(tensor.item())


class MarkCompleteCallback(TrainerCallback):
    """Marks each completely written checkpoint and deletes older ones."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint, then delete all earlier ones except the best."""
        if args.should_save:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
            # After the marker, so that a kill between the two leaves a complete checkpoint.
            rotate_checkpoints(args.output_dir, 1, state.best_model_checkpoint)


class StageLog:
    """The lines of one stage in log.jsonl.

    Lines written after the checkpoint from which a stage is resumed are dropped.
    """

    def __init__(self, path: Path, stage: str, resume: Path | None) -> None:
        self.path, self.stage = path, stage
        last_step = int(resume.name.partition("-")[2]) if resume else -1
        lines = [line for line in read_log(path) if line["stage"] != stage or line["step"] <= last_step]
        with atomic_file(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        stage_seconds = [line["seconds"] for line in lines if line["stage"] == stage]
        self.started = time.monotonic() - max(stage_seconds, default=0.0)

    def seconds(self) -> float:
        """Return the training time of this stage, including the time before a resume."""
        return time.monotonic() - self.started

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Append one line."""
        line = {"stage": self.stage, "step": step, "seconds": round(self.seconds(), 2), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def callbacks(self, task: BaseTask, patience: int | None) -> list[TrainerCallback]:
        """Return the callbacks of the stage."""
        early_stopping = [ResumableEarlyStopping(patience)] if patience is not None else []
        return [
            _LogCallback(self, task),
            CheckGradientsCallback(),
            SaveByTimeCallback(),
            MarkCompleteCallback(),
            *early_stopping,
        ]

    @staticmethod
    def use_own_progress_bar(trainer: Any) -> None:
        """Replace the Trainer's printed log lines with our progress bar."""
        trainer.remove_callback(PrinterCallback)
        if trainer.pop_callback(ProgressCallback):
            trainer.add_callback(ProgressBarCallback())


class _LogCallback(TrainerCallback):
    """Writes the log lines, including the values that the task returns after each step."""

    def __init__(self, log: StageLog, task: BaseTask) -> None:
        self.log, self.task = log, task
        self.task_values: dict[str, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.task_values = self.task.on_step_end(model)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and not math.isfinite(logs.get("loss", 0.0)):
            raise UserError(
                f"Stage {self.log.stage} has diverged: the loss is not finite at step {state.global_step}. "
                f"Lower stages.{self.log.stage}.learning_rate (now {args.learning_rate:g}) or lengthen the warmup, and "
                "continue with --resume. Completed stages are kept."
            )
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            self.log.write(state.global_step, logs | self.task_values)


class CheckGradientsCallback(TrainerCallback):
    """Stops a stage if a trainable module received no gradient in the first step."""

    def __init__(self) -> None:
        self.checked = False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Raise UserError before the first optimizer step if a trainable module has no gradient."""
        if self.checked:
            return
        self.checked = True
        if missing := trainable.modules_without_gradient(model):
            raise UserError(
                f"These trainable modules got no gradient in the first step: {', '.join(missing[:8])}. "
                "In the stage's `trainable`, list only modules that the forward pass uses."
            )


class ResumableEarlyStopping(TrainerCallback):
    """Stops a stage when the score has not improved for ``epochs`` epochs, counted in the log history.

    `EarlyStoppingCallback` keeps its own counter, so a resumed stage would train longer than an uninterrupted one.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop if the best score of the log history is at least ``epochs`` evaluations old."""
        key = f"eval_{args.metric_for_best_model}"
        scores = [line[key] for line in state.log_history if key in line]
        if scores:
            best = scores.index((max if args.greater_is_better else min)(scores))
            control.should_training_stop |= len(scores) - 1 - best >= self.epochs

    on_evaluate = on_train_begin


class ProgressBarCallback(ProgressCallback):
    """The Trainer's progress bar with the latest values as postfix, instead of one printed line per log."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Show the latest loss and evaluation scores next to the bar."""
        if self.training_bar is not None and logs:
            values = {key: value for key, value in logs.items() if key == "loss" or key.startswith("eval_")}
            if values:
                self.training_bar.set_postfix(values)
