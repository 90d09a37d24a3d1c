import copy
from typing import Any

import pytest
import torch
import transformers
from transformers.pytorch_utils import Conv1D

from hfmm.training import frozen

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 40}
CONFIGS = {
    "untied": transformers.LlamaConfig(**SIZES),
    "tied": transformers.Gemma3TextConfig(**SIZES, num_key_value_heads=2, head_dim=8, tie_word_embeddings=True),
    "conv1d": transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=40),
}


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    causal_lm = transformers.AutoModelForCausalLM.from_config(CONFIGS[request.param]).eval()
    return causal_lm.requires_grad_(False)


def loss_and_gradient(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(0, 40, (2, 6))
    embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(inputs_embeds=embeddings, labels=ids).loss
    loss.backward()
    return loss.detach(), embeddings.grad


def test_casting_frozen_weights_does_not_change_loss_and_gradient(model: Any) -> None:
    before = loss_and_gradient(model)
    frozen.cast_frozen_to_bf16(model)
    after = loss_and_gradient(model)
    assert frozen.has_bf16_weights(model)
    assert all(map(torch.equal, before, after))


def test_only_frozen_matrix_products_are_cast_to_bf16(model: Any) -> None:
    trainable_layer = next(module for module in model.modules() if isinstance(module, torch.nn.Linear | Conv1D))
    trainable_layer.requires_grad_()
    frozen.cast_frozen_to_bf16(model)
    for name, parameter in model.named_parameters():
        is_matrix_product = not any(part in name for part in ("norm", "ln_", "embed", "wte", "wpe"))
        is_cast = is_matrix_product and not parameter.requires_grad
        assert parameter.dtype is (torch.bfloat16 if is_cast else torch.float32), name


def test_restoring_copies_only_trained_weights_into_the_source(model: Any) -> None:
    source = copy.deepcopy(model)
    norm = [module for name, module in model.named_modules() if name.endswith(("norm", "ln_f"))][-1]
    norm.requires_grad_()
    frozen.cast_frozen_to_bf16(model)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(1)
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    after = frozen.restore_frozen_weights(model, source).state_dict()
    changed = {name.rpartition(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {name for name, module in model.named_modules() if module is norm}
    assert not frozen.has_bf16_weights(source)
