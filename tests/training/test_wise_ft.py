"""Weights between those of a checkpoint and those of its fine-tuned self."""

import pytest
import torch
from torch import nn

from hfmm.training.wise_ft import interpolate_weights


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_each_tensor_lies_the_given_share_of_the_way_from_before_to_after(share: float) -> None:
    before, after = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    for model in (before, after):
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape) * 9)
    start, end = ({name: tensor.clone() for name, tensor in model.state_dict().items()} for model in (before, after))
    between = interpolate_weights(before, after, share).state_dict()
    for name in ("weight", "bias", "running_mean", "running_var"):
        torch.testing.assert_close(between[name], start[name] * (1 - share) + end[name] * share)
    assert torch.equal(between["num_batches_tracked"], end["num_batches_tracked"])


def test_tensors_that_are_shared_are_moved_once() -> None:
    before, after = ({"one": nn.Linear(2, 2), "other": nn.Linear(2, 2)} for _ in range(2))
    models = []
    for parts in (before, after):
        parts["other"].weight = parts["one"].weight
        models.append(nn.ModuleDict(parts))
    expected = (models[0]["one"].weight + models[1]["one"].weight).detach() / 2
    between = interpolate_weights(models[0], models[1], 0.5)
    torch.testing.assert_close(between["other"].weight.detach(), expected)
