"""The one subclass of transformers' Trainer: the task's loss and predictions, and strict reloads."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import AutocastKwargs, gather_object
from transformers import Trainer

from hfmm.metrics import primary_score
from hfmm.tasks import BaseTask, references
from hfmm.training import frozen


class StageTrainer(Trainer):
    """Trains one stage; the loss is the task's sum over `num_items`, so accumulation changes nothing."""

    def __init__(self, *, task: BaseTask, metric: str, order: Any, **arguments: Any) -> None:
        super().__init__(data_collator=task.collate, **arguments)
        self.task, self.metric, self.order = task, metric, order
        self.loss_is_scaled_for_ga = True

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return the task's loss."""
        frozen.freeze_batch_norm(model)
        # accelerate gives its precision to model.forward alone, and a task may call other parts of the model.
        with self.accelerator.autocast():
            loss: torch.Tensor = self.task.loss(model, inputs, num_items_in_batch)
        # Gradients are averaged over processes, while the sum is divided by the items of all of them.
        return loss * self.args.world_size

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.order or super()._get_train_sampler(train_dataset)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        items = torch.tensor(sum(self.task.num_items(batch) for batch in batch_samples), device=device)
        return self.accelerator.gather(items).sum()

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Score the primary metric on the validation rows, each process its share of them."""
        rows = self.eval_dataset.shard(self.args.world_size, self.args.process_index, contiguous=True)
        self.model.eval()
        with self.accelerator.autocast(AutocastKwargs(enabled=frozen.has_bf16_weights(self.model))):
            mine = list(self.task.predict(self.model, rows, self.args.per_device_eval_batch_size))
        everyone = gather_object(mine)
        true = gather_object(references(self.task, rows))
        scores = {
            f"{metric_key_prefix}_{self.metric}": primary_score(self.metric, self.task.metric_inputs(everyone), true)
        }
        self.log(scores | {f"{metric_key_prefix}_{key}": one for key, one in self.task.extra_logs(everyone).items()})
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _run_epoch(self, **arguments: Any) -> None:
        if not self.control.should_training_stop:  # as where a resumed stage was at its end
            super()._run_epoch(**arguments)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._restore(resume_from_checkpoint, super()._load_from_checkpoint)

    def _load_best_model(self) -> None:
        self._restore(self.state.best_model_checkpoint, lambda _: super(StageTrainer, self)._load_best_model())

    def _restore(self, folder: str, load_adapter: Any) -> None:
        # The stock reload passes strict=False to key names that from_pretrained would have renamed.
        if hasattr(self.model, "peft_config"):
            load_adapter(folder)
        else:
            saved = type(self.model).from_pretrained(folder, dtype="float32")  # what trains always is
            self.model.load_state_dict(saved.state_dict(), strict=True)
