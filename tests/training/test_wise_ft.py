"""Interpolation between the weights before and after fine-tuning."""

import pytest
import torch
from torch import nn

from hfmm.training.wise_ft import interpolate_weights


@pytest.mark.parametrize("alpha", [0.25, 0.5])
def test_tensors_are_interpolated_between_before_and_after(alpha: float) -> None:
    before, after = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    for model in (before, after):
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape) * 9)
    start, end = ({name: tensor.clone() for name, tensor in model.state_dict().items()} for model in (before, after))
    interpolated = interpolate_weights(before, after, alpha).state_dict()
    for name in ("weight", "bias", "running_mean", "running_var"):
        torch.testing.assert_close(interpolated[name], start[name] * (1 - alpha) + end[name] * alpha)
    assert torch.equal(interpolated["num_batches_tracked"], end["num_batches_tracked"])


def test_shared_tensors_are_interpolated_once() -> None:
    before, after = ({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2)} for _ in range(2))
    models = []
    for layers in (before, after):
        layers["second"].weight = layers["first"].weight
        models.append(nn.ModuleDict(layers))
    expected = (models[0]["first"].weight + models[1]["first"].weight).detach() / 2
    interpolated = interpolate_weights(models[0], models[1], 0.5)
    torch.testing.assert_close(interpolated["second"].weight.detach(), expected)
