"""The rate of a training loop and the floating-point operations of a model, compared with a calculation by hand."""

from __future__ import annotations

import pytest

from tests.benchmarks import training


def test_the_rate_ignores_the_first_fifth_of_the_steps() -> None:
    # The first two of ten steps are slow. Each of the others takes half a second.
    times = [10.0, 20.0, *(20 + 0.5 * step for step in range(1, 9))]
    assert training.rate(times, 16) == pytest.approx(16 / 0.5)


def test_the_rate_of_few_steps_ignores_the_first_step() -> None:
    assert training.rate([5.0, 6.0, 7.0], 4) == pytest.approx(4)


def test_a_layer_has_two_flops_per_multiplication() -> None:
    import torch

    layer = torch.nn.Linear(8, 3)
    output, flops = training.count_flops(lambda: layer(torch.zeros(5, 8)))
    assert output.shape == (5, 3)
    assert flops == 2 * 5 * 8 * 3


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_eager_and_sdpa_attention_have_the_same_flops(kernel: str) -> None:
    import torch
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=16
    )
    model = ViTModel(config, add_pooling_layer=False)
    model.set_attn_implementation(kernel)
    _, flops = training.count_flops(lambda: model(torch.zeros(1, 3, 32, 32)))
    tokens, width = 5, 16
    patches = 2 * 4 * (3 * 16 * 16) * width
    projections, attention, feed_forward = 4 * tokens * width**2, 2 * tokens**2 * width, 2 * tokens * width * 32
    assert flops == patches + 2 * (projections + attention + feed_forward)


def test_a_bf16_loss_is_rounded_and_has_the_same_flops() -> None:
    import torch

    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(64, 1), torch.randn(1, 64)
    fp32_loss, fp32_flops = training.loss_and_flops(lambda: layer(rows).sum(), in_bf16=False)
    bf16_loss, bf16_flops = training.loss_and_flops(lambda: layer(rows).sum(), in_bf16=True)
    assert fp32_loss != bf16_loss and fp32_loss == pytest.approx(bf16_loss, abs=0.02)
    assert fp32_flops == bf16_flops
