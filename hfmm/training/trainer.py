"""The `Trainer` subclass that trains a stage: the task's loss and predictions, and strict reloading of weights."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from accelerate.utils import AutocastKwargs, gather_object
from transformers import Trainer

from hfmm.metrics import primary_score
from hfmm.tasks import BaseTask, collect_references
from hfmm.training import frozen


class StageTrainer(Trainer):
    """Trains one stage.

    The loss is a sum divided by `num_items`, so gradient accumulation does not change it.
    """

    def __init__(
        self, *, task: BaseTask, metric: str, metric_module: ModuleType, sampler: Any, **arguments: Any
    ) -> None:
        super().__init__(data_collator=task.collate, **arguments)
        self.task, self.metric, self.metric_module, self.sampler = task, metric, metric_module, sampler
        self.loss_is_scaled_for_ga = True

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return the task's loss."""
        frozen.freeze_batch_norm(model)
        # accelerate applies autocast to model.forward only, but a task may call other parts of the model.
        with self.accelerator.autocast():
            loss: torch.Tensor = self.task.loss(model, inputs, num_items_in_batch)
        # Gradients are averaged over processes, but the loss is already divided by the items of all processes.
        return loss * self.args.world_size

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.sampler or super()._get_train_sampler(train_dataset)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        num_items = torch.tensor(sum(self.task.num_items(batch) for batch in batch_samples), device=device)
        return self.accelerator.gather(num_items).sum()

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Return the primary metric on the validation rows. Each process predicts a shard of them."""
        rows = self.eval_dataset.shard(self.args.world_size, self.args.process_index, contiguous=True)
        self.model.eval()
        with self.accelerator.autocast(AutocastKwargs(enabled=frozen.has_bf16_weights(self.model))):
            shard_predictions = list(self.task.predict(self.model, rows, self.args.per_device_eval_batch_size))
        predictions = gather_object(shard_predictions)
        references = gather_object(collect_references(self.task, rows, [self.metric_module]))
        score = primary_score(self.metric, self.task.metric_inputs(predictions), references)
        scores = {f"{metric_key_prefix}_{self.metric}": score}
        extra_logs = self.task.extra_logs(predictions)
        self.log(scores | {f"{metric_key_prefix}_{key}": value for key, value in extra_logs.items()})
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _run_epoch(self, **arguments: Any) -> None:
        if not self.control.should_training_stop:  # set when a stage is resumed after its last epoch
            super()._run_epoch(**arguments)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._restore(resume_from_checkpoint, super()._load_from_checkpoint)

    def _load_best_model(self) -> None:
        self._restore(self.state.best_model_checkpoint, lambda _: super(StageTrainer, self)._load_best_model())

    def _restore(self, folder: str, load_adapter: Any) -> None:
        # The Trainer's own reload uses strict=False and does not rename keys as from_pretrained does.
        if hasattr(self.model, "peft_config"):
            load_adapter(folder)
        else:
            reloaded = type(self.model).from_pretrained(folder, dtype="float32")  # trained weights are always fp32
            self.model.load_state_dict(reloaded.state_dict(), strict=True)
