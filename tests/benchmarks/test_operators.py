from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainingArguments

from tests.benchmarks import timed
from tests.benchmarks.operators import OUTSIDE, REST, Spent, kind, shares, watched


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("aten::addmm", "matrix products"),
        ("aten::mkldnn_convolution", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("aten::_fused_adamw_", "optimizer"),
        ("aten::_foreach_norm", "optimizer"),
        ("aten::native_layer_norm_backward", "norms, softmax, activations"),
        ("aten::copy_", "copies and casts"),
        ("aten::scatter", REST),
    ],
)
def test_an_operator_belongs_to_the_kind_that_its_name_tells(operator: str, expected: str) -> None:
    assert kind(operator) == expected


def test_what_no_operator_took_is_outside_torch() -> None:
    found = shares({"aten::mm": 1.5e6, "aten::bmm": 0.5e6, "aten::copy_": 1e6}, 4.0)
    assert found["matrix products"] == 0.5
    assert found["copies and casts"] == 0.25
    assert found[OUTSIDE] == 0.25
    assert sum(found.values()) == 1


def test_a_trainer_leaves_the_time_of_its_steps_and_operators_and_is_then_let_alone(tmp_path: Path) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": self.layer(x).square().mean()}

    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=3, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True
    )
    untouched, spent = Trainer.train, Spent()
    with watched(spent):
        Trainer(model=Model(), args=arguments, train_dataset=[{"x": torch.ones(4)}] * 8).train()
    assert Trainer.train is untouched
    assert 0 < sum(spent.operators.values()) / 1e6 < spent.seconds
    assert shares(spent.operators, spent.seconds)["matrix products"] > 0


def test_every_stretch_that_is_timed_adds_to_what_was_watched_and_nothing_outside_it_does() -> None:
    spent, factor = Spent(), torch.ones(64, 64)
    with watched(spent):
        factor.sigmoid()
        for _ in range(2):
            with timed.timed() as stretch:
                factor @ factor
    with timed.timed():
        factor.tanh()
    assert 0 < stretch.seconds < spent.seconds
    assert "aten::mm" in spent.operators
    assert not {"aten::sigmoid", "aten::tanh"} & set(spent.operators)
