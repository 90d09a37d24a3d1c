import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from hfmm.training.attention import use_eager_attention_if_short

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def vit(image_size: int) -> PreTrainedModel:
    return ViTForImageClassification(ViTConfig(**SMALL, image_size=image_size, patch_size=8))


def clip(image_size: int) -> PreTrainedModel:
    return CLIPModel(CLIPConfig(text_config=SMALL, vision_config=SMALL | {"image_size": image_size, "patch_size": 8}))


def llava(num_tokens: int) -> PreTrainedModel:
    vision = SMALL | {"model_type": "clip_vision_model", "image_size": 256, "patch_size": 8}
    text = SMALL | {"model_type": "llama", "vocab_size": 16}
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_seq_length=num_tokens, image_token_index=1)
    )


def whisper(num_positions: int) -> PreTrainedModel:
    sizes = {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "vocab_size": 16,
        "pad_token_id": 0,
    }
    return WhisperForConditionalGeneration(
        WhisperConfig(**sizes, max_source_positions=num_positions, begin_suppress_tokens=[])
    )


@pytest.mark.parametrize(
    ("build", "short", "long"), [(vit, 64, 256), (clip, 64, 256), (llava, 256, 576), (whisper, 250, 1500)]
)
def test_short_sequences_use_eager_attention_and_long_ones_sdpa(
    build: Callable[[int], PreTrainedModel], short: int, long: int
) -> None:
    for size, implementation in ((short, "eager"), (long, "sdpa")):
        model = build(size)
        use_eager_attention_if_short(model)
        parts = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
        assert {part.config._attn_implementation for part in parts} == {implementation}


def test_gradients_do_not_depend_on_attention_which_is_not_saved(tmp_path: Path) -> None:
    sdpa = vit(32).double()
    eager = copy.deepcopy(sdpa)
    use_eager_attention_if_short(eager)
    pixels = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for model in (sdpa, eager):
        model(pixel_values=pixels).logits.square().sum().backward()
    for expected, parameter in zip(sdpa.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(expected.grad, parameter.grad)
    eager.save_pretrained(tmp_path)
    assert "attn" not in (tmp_path / "config.json").read_text()
