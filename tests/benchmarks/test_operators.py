from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainingArguments

from tests.benchmarks import timed
from tests.benchmarks.operators import OTHER, OUTSIDE, Profile, operator_kind, profiling, time_shares


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
        ("aten::scatter", OTHER),
    ],
)
def test_the_name_of_an_operator_determines_its_kind(operator: str, expected: str) -> None:
    assert operator_kind(operator) == expected


def test_time_without_an_operator_is_outside_torch() -> None:
    shares = time_shares({"aten::mm": 1.5e6, "aten::bmm": 0.5e6, "aten::copy_": 1e6}, 4.0)
    assert shares["matrix products"] == 0.5
    assert shares["copies and casts"] == 0.25
    assert shares[OUTSIDE] == 0.25
    assert sum(shares.values()) == 1


def test_profiling_records_trainer_steps_and_restores_the_trainer(tmp_path: Path) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": self.layer(x).square().mean()}

    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=3, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True
    )
    original, profile = Trainer.train, Profile()
    with profiling(profile):
        Trainer(model=Model(), args=arguments, train_dataset=[{"x": torch.ones(4)}] * 8).train()
    assert Trainer.train is original
    assert 0 < sum(profile.operators.values()) / 1e6 < profile.seconds
    assert time_shares(profile.operators, profile.seconds)["matrix products"] > 0


def test_only_timed_blocks_are_profiled() -> None:
    profile, matrix = Profile(), torch.ones(64, 64)
    with profiling(profile):
        matrix.sigmoid()
        for _ in range(2):
            with timed.timed() as timer:
                matrix @ matrix
    with timed.timed():
        matrix.tanh()
    assert 0 < timer.seconds < profile.seconds
    assert "aten::mm" in profile.operators
    assert not {"aten::sigmoid", "aten::tanh"} & set(profile.operators)
