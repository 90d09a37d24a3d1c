"""The rate of a training loop, and the operations of a model, against counting by hand."""

from __future__ import annotations

import pytest

from tests.benchmarks import training


def test_the_rate_leaves_out_the_first_fifth_of_the_steps() -> None:
    # The first two of ten steps are slow; each of the others takes half a second.
    times = [10.0, 20.0, *(20 + 0.5 * step for step in range(1, 9))]
    assert training.rate(times, 16) == pytest.approx(16 / 0.5)


def test_the_rate_of_few_steps_leaves_out_the_first() -> None:
    assert training.rate([5.0, 6.0, 7.0], 4) == pytest.approx(4)


def test_operations_are_two_for_each_product_of_a_layer() -> None:
    import torch

    layer = torch.nn.Linear(8, 3)
    found, flops = training.operations(lambda: layer(torch.zeros(5, 8)))
    assert found.shape == (5, 3)
    assert flops == 2 * 5 * 8 * 3


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_attention_counts_alike_written_out_and_blockwise(kernel: str) -> None:
    import torch
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=16
    )
    model = ViTModel(config, add_pooling_layer=False)
    model.set_attn_implementation(kernel)
    _, flops = training.operations(lambda: model(torch.zeros(1, 3, 32, 32)))
    tokens, width = 5, 16
    patches = 2 * 4 * (3 * 16 * 16) * width
    projections, attention, feed_forward = 4 * tokens * width**2, 2 * tokens**2 * width, 2 * tokens * width * 32
    assert flops == patches + 2 * (projections + attention + feed_forward)


def test_a_loss_in_bf16_is_rounded_and_its_operations_are_the_same() -> None:
    import torch

    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(64, 1), torch.randn(1, 64)
    (fine, flops), (coarse, same) = (training.counted(lambda: layer(rows).sum(), in_bf16) for in_bf16 in (False, True))
    assert fine != coarse and fine == pytest.approx(coarse, abs=0.02)
    assert flops == same
