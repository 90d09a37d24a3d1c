from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from hfmm.metrics import accuracy
from hfmm.training.trainer import StageTrainer


def test_a_training_step_does_not_change_frozen_batch_norm_statistics(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    model[0].requires_grad_(False)
    task: Any = SimpleNamespace(loss=lambda model, batch, items: model(batch["x"]).sum(), collate=list)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    trainer = StageTrainer(
        task=task, metric="accuracy", metric_module=accuracy, sampler=None, model=model, args=arguments
    )
    trainer.create_optimizer()
    trainer.training_step(model, {"x": torch.randn(8, 4)}, torch.tensor(1))
    assert not model[0].running_mean.any()
    assert model[1].weight.grad is not None


@pytest.mark.parametrize("bf16", [True, False])
def test_a_loss_that_calls_a_submodule_uses_the_precision_of_the_stage(bf16: bool, tmp_path: Path) -> None:
    dtypes = []

    def loss(model: Any, batch: Any, num_items: Any) -> Any:
        dtypes.append(model.part(torch.ones(1, 4)).dtype)
        return torch.zeros((), requires_grad=True)

    model = torch.nn.Module()
    model.part = torch.nn.Linear(4, 4)  # called directly and not through the forward method that accelerate wraps
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, bf16=bf16, report_to="none")
    task: Any = SimpleNamespace(loss=loss, collate=list)
    trainer = StageTrainer(
        task=task, metric="accuracy", metric_module=accuracy, sampler=None, model=model, args=arguments
    )
    trainer.compute_loss(trainer.model, {}, num_items_in_batch=1)
    assert dtypes == [torch.bfloat16 if bf16 else torch.float32]
