"""The callbacks of a stage: the log, the progress bar, saving by time, early stopping and the gradient check."""

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

SAVE_AFTER_SECONDS = 300  # a long epoch is saved in between, so that a kill costs minutes
SYNC_EVERY_STEPS = 10  # at which processes that train together ask the first one's clock, which all have to wait for


class SaveByTimeCallback(TrainerCallback):
    """Saves by the clock, and where several processes train by that of the first: saving one waits for the others."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint where the last one is too long ago."""
        late = time.monotonic() - self.last > SAVE_AFTER_SECONDS
        if args.world_size > 1:
            late = state.global_step % SYNC_EVERY_STEPS == 0 and _broadcast_from_rank0(late, args.device)
        if late:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin to wait anew."""
        self.last = time.monotonic()


def _broadcast_from_rank0(flag: bool, device: Any) -> bool:
    import torch

    said = torch.tensor(int(flag), device=device)
    torch.distributed.broadcast(said, 0)
    return bool(said.item())


class MarkCompleteCallback(TrainerCallback):
    """Marks what was saved to its end, and drops what is older."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint, then drop those before it but the best."""
        if args.should_save:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
            # After the marker: a kill between the two must leave one whole checkpoint.
            rotate_checkpoints(args.output_dir, 1, state.best_model_checkpoint)


class StageLog:
    """The lines of one stage in log.jsonl; those after the checkpoint that a resumed run starts from are dropped."""

    def __init__(self, path: Path, stage: str, resume: Path | None) -> None:
        self.path, self.stage = path, stage
        step = int(resume.name.partition("-")[2]) if resume else -1
        kept = [line for line in read_log(path) if line["stage"] != stage or line["step"] <= step]
        with atomic_file(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        own = [line["seconds"] for line in kept if line["stage"] == stage]
        self.started = time.monotonic() - max(own, default=0.0)

    def seconds(self) -> float:
        """Return the time this stage has trained, the part before a kill included."""
        return time.monotonic() - self.started

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Append one line."""
        line = {"stage": self.stage, "step": step, "seconds": round(self.seconds(), 2), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def callbacks(self, task: BaseTask, patience: int | None) -> list[TrainerCallback]:
        """Return the callbacks of the stage."""
        stopping = [ResumableEarlyStopping(patience)] if patience is not None else []
        return [
            _LogCallback(self, task),
            CheckGradientsCallback(),
            SaveByTimeCallback(),
            MarkCompleteCallback(),
            *stopping,
        ]

    @staticmethod
    def use_own_progress_bar(trainer: Any) -> None:
        """Replace the Trainer's printing of log lines by our bar."""
        trainer.remove_callback(PrinterCallback)
        if trainer.pop_callback(ProgressCallback):
            trainer.add_callback(ProgressBarCallback())


class _LogCallback(TrainerCallback):
    """Writes the lines, with what the task finds worth noting after each step."""

    def __init__(self, log: StageLog, task: BaseTask) -> None:
        self.log, self.task = log, task
        self.noted: dict[str, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.noted = self.task.on_step_end(model)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and not math.isfinite(logs.get("loss", 0.0)):
            raise UserError(
                f"Stage {self.log.stage} has diverged: by step {state.global_step} its loss is no longer a number. "
                f"Lower stages.{self.log.stage}.learning_rate (now {args.learning_rate:g}) or lengthen the warmup, and "
                "go on with --resume; what earlier stages trained is kept."
            )
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            self.log.write(state.global_step, logs | self.noted)


class CheckGradientsCallback(TrainerCallback):
    """Stops a stage in which a module that was meant to train got no gradient."""

    def __init__(self) -> None:
        self.checked = False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if self.checked:
            return
        self.checked = True
        if missing := trainable.modules_without_gradient(model):
            raise UserError(
                f"After the first step these modules are meant to train but got no gradient: {', '.join(missing[:8])}. "
                "Name only modules that the forward pass uses in the stage's `train`."
            )


class ResumableEarlyStopping(TrainerCallback):
    """Ends a stage after so many epochs without a better score, counted in what it has logged.

    The library's own callback counts by itself, and would let a resumed stage train longer than one not broken off.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        name = f"eval_{args.metric_for_best_model}"
        scores = [line[name] for line in state.log_history if name in line]
        if scores:
            best = scores.index((max if args.greater_is_better else min)(scores))
            control.should_training_stop |= len(scores) - 1 - best >= self.epochs

    on_evaluate = on_train_begin


class ProgressBarCallback(ProgressCallback):
    """The Trainer's bar with the latest numbers beside it instead of a line for each."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if self.training_bar is not None and logs:
            numbers = {key: value for key, value in logs.items() if key == "loss" or key.startswith("eval_")}
            if numbers:
                self.training_bar.set_postfix(numbers)
