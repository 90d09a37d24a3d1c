import pytest
import torch

from hfmm.training import frozen


@pytest.mark.parametrize("trains", [True, False])
def test_batch_norm_follows_its_batches_only_where_it_trains(trains: bool) -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5)).train()
    model[0].requires_grad_(trains)
    frozen.freeze_batch_norm(model)
    model(torch.randn(8, 4))
    assert bool(model[0].running_mean.any()) == trains  # type: ignore[union-attr]
    assert model[1].training
