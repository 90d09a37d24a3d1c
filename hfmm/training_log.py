"""What a stage does beside its steps: log.jsonl, the progress bar, the check of its first step, and when it ends."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from hfmm.errors import UserError
from hfmm.models import adapt
from hfmm.run_directory import atomic_file
from hfmm.saving import SaveInLongEpochs, WholeCheckpoints
from hfmm.tasks import TaskProtocol


class StageLog:
    """The lines of one stage in log.jsonl; those after the checkpoint that a resumed run starts from are dropped."""

    def __init__(self, path: Path, stage: str, resume: Path | None) -> None:
        self.path, self.stage = path, stage
        step = int(resume.name.partition("-")[2]) if resume else -1
        kept = [line for line in read(path) if line["stage"] != stage or line["step"] <= step]
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

    def callbacks(self, task: TaskProtocol, patience: int | None) -> list[TrainerCallback]:
        """Return the callbacks of the stage."""
        stopping = [_Patience(patience)] if patience is not None else []
        return [_LogCallback(self, task), _FirstStepCheck(), SaveInLongEpochs(), WholeCheckpoints(), *stopping]

    @staticmethod
    def take_over(trainer: Any) -> None:
        """Replace the Trainer's printing of log lines by our bar."""
        trainer.remove_callback(PrinterCallback)
        if trainer.pop_callback(ProgressCallback):
            trainer.add_callback(_Bar())


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a last line that a kill cut off is passed over."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


class _LogCallback(TrainerCallback):
    """Writes the lines, with what the task finds worth noting after each step."""

    def __init__(self, log: StageLog, task: TaskProtocol) -> None:
        self.log, self.task = log, task
        self.noted: dict[str, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.noted = self.task.after_step(model)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and not math.isfinite(logs.get("loss", 0.0)):
            raise UserError(
                f"Stage {self.log.stage} has diverged: by step {state.global_step} its loss is no longer a number. "
                f"Lower stages.{self.log.stage}.learning_rate (now {args.learning_rate:g}) or lengthen the warmup, and "
                "go on with --resume; what earlier stages trained is kept."
            )
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            self.log.write(state.global_step, logs | self.noted)


class _FirstStepCheck(TrainerCallback):
    """Stops a stage in which a module that was meant to train got no gradient."""

    def __init__(self) -> None:
        self.checked = False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if self.checked:
            return
        self.checked = True
        if missing := adapt.unreached(model):
            raise UserError(
                f"After the first step these modules are meant to train but got no gradient: {', '.join(missing[:8])}. "
                "Name only modules that the forward pass uses in the stage's `train`."
            )


class _Patience(TrainerCallback):
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


class _Bar(ProgressCallback):
    """The Trainer's bar with the latest numbers beside it instead of a line for each."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if self.training_bar is not None and logs:
            numbers = {key: value for key, value in logs.items() if key == "loss" or key.startswith("eval_")}
            if numbers:
                self.training_bar.set_postfix(numbers)
