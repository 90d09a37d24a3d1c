import pytest
import torch

from hfmm.training import frozen


@pytest.mark.parametrize("is_trainable", [True, False])
def test_frozen_batch_norm_keeps_its_statistics(is_trainable: bool) -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5)).train()
    model[0].requires_grad_(is_trainable)
    frozen.freeze_batch_norm(model)
    model(torch.randn(8, 4))
    assert bool(model[0].running_mean.any()) == is_trainable  # type: ignore[union-attr]
    assert model[1].training
