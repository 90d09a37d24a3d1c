from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from torch import nn
from torchao.quantization import Int8Tensor, Int8WeightOnlyConfig
from transformers import TorchAoConfig

from hfmm.assets import CHECKPOINTS
from hfmm.errors import UserError
from hfmm.models.common import checkpoint, int8
from hfmm.models.common.checkpoint import load_saved
from hfmm.recipe.load import load_recipe

LAYERS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
IMAGES = torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
TOKENS = torch.tensor([[3, 5, 7, 9], [4, 6, 8, 2]])
INPUTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "tiny-vit": lambda model: {"pixel_values": IMAGES},
    "tiny-clip": lambda model: {"pixel_values": IMAGES, "input_ids": TOKENS},
    "tiny-siglip": lambda model: {"pixel_values": IMAGES, "input_ids": TOKENS},
    "pair": lambda model: {"pixel_values": IMAGES[..., :32, :32], "input_ids": TOKENS},
    "tiny-whisper": lambda model: {
        "input_features": torch.linspace(
            -1, 1, 4 * model.config.num_mel_bins * model.config.max_source_positions
        ).reshape(2, model.config.num_mel_bins, -1),
        "decoder_input_ids": TOKENS,
    },
    "tiny-llm": lambda model: {"input_ids": TOKENS},
    "llava": lambda model: {"input_ids": TOKENS, "pixel_values": None},
}
EACH_FAMILY = pytest.mark.parametrize("family", INPUTS)


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory, tiny_vit: Path, tiny_bert: Path, tiny_llama: Path
) -> Callable[[str], tuple[Path, Path]]:
    """Return the folders of the model of a family and of the same model with int8 weights. Both are cached."""
    root = tmp_path_factory.mktemp("int8")
    image_processor = transformers.AutoImageProcessor.from_pretrained(tiny_vit)

    def pair(folder: Path) -> None:
        configs = (transformers.AutoModel.from_pretrained(tower).config for tower in (tiny_vit, tiny_bert))
        config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(*configs, projection_dim=16)
        transformers.VisionTextDualEncoderModel(config).save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
        transformers.VisionTextDualEncoderProcessor(image_processor, tokenizer).save_pretrained(folder)

    def llava(folder: Path) -> None:
        text = transformers.AutoConfig.from_pretrained(tiny_llama)
        vision = transformers.CLIPVisionConfig(**LAYERS, image_size=32, patch_size=16)
        config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=1)
        transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_llama)
        tokenizer.add_tokens(["<image>"])
        transformers.LlavaProcessor(image_processor, tokenizer, patch_size=16).save_pretrained(folder)

    def make(family: str) -> tuple[Path, Path]:
        source, target = CHECKPOINTS / family, root / f"{family}-int8"
        if not source.is_dir():
            source = root / family
        if not target.is_dir():
            if not source.is_dir():
                {"pair": pair, "llava": llava}[family](source)
            int8.save(str(source), target)
        return source, target

    return make


def outputs(model: Any, family: str) -> Any:
    inputs = {
        name: value.to(model.dtype) if value is not None and value.is_floating_point() else value
        for name, value in INPUTS[family](model).items()
    }
    with torch.inference_mode():
        output = model.eval()(**inputs)
    return getattr(output, "logits", None) if "logits" in output else output.logits_per_image


@EACH_FAMILY
def test_saved_model_has_equal_logits_close_to_the_full_model(
    saved: Callable[[str], tuple[Path, Path]], family: str
) -> None:
    source, target = saved(family)
    full, quantized, loaded = load_saved(str(source))[0], int8.load(str(source))[0], load_saved(str(target))[0]
    assert type(loaded) is type(full) and loaded.dtype == torch.bfloat16
    expected, logits, loaded_logits = (outputs(model, family).float() for model in (full, quantized, loaded))
    assert torch.equal(logits, loaded_logits)
    assert not torch.equal(logits, expected)
    assert (logits - expected).abs().max() < 0.1 * expected.abs().max()


@EACH_FAMILY
def test_only_linear_layers_besides_the_output_are_int8(saved: Callable[[str], tuple[Path, Path]], family: str) -> None:
    model = load_saved(str(saved(family)[1]))[0]
    linear = {name for name, module in model.named_modules() if type(module) is nn.Linear}
    quantized = {name for name in linear if isinstance(model.get_submodule(name).weight.data, Int8Tensor)}
    assert len(quantized) > 10
    assert linear - quantized <= {"lm_head", "proj_out", "text_projection"}
    others = {name for name, tensor in model.named_parameters() if isinstance(tensor.data, Int8Tensor)}
    assert {name.removesuffix(".weight") for name in others} == quantized


@pytest.mark.parametrize("family", ["tiny-vit", "tiny-siglip", "tiny-whisper", "tiny-llm", "llava"])
def test_weights_equal_those_that_transformers_quantizes(
    saved: Callable[[str], tuple[Path, Path]], family: str
) -> None:
    source, target = saved(family)
    loaded = load_saved(str(target))[0]
    config = TorchAoConfig(Int8WeightOnlyConfig())
    reference = type(loaded).from_pretrained(source, dtype="bfloat16", quantization_config=config)
    weights, expected = (model.hf_quantizer.get_state_dict_and_metadata(model)[0] for model in (loaded, reference))
    assert weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in weights)


def test_saved_bytes_are_reproducible_and_describe_int8_weights_only(
    saved: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    source, target = saved("tiny-clip")
    int8.save(str(source), tmp_path / "second")
    assert {path.name for path in (tmp_path / "second").iterdir()} == {path.name for path in target.iterdir()}
    for path in target.iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
    with safe_open(target / "model.safetensors", "pt") as file:
        assert "logit_scale" in {*file.keys()} and "logit_scale" not in file.metadata()
        assert file.metadata()["format"] == "pt"


def test_pipeline_loads_a_saved_clip(saved: Callable[[str], tuple[Path, Path]]) -> None:
    from PIL import Image

    pipe = transformers.pipeline("zero-shot-image-classification", model=str(saved("tiny-clip")[1]))
    output = pipe(Image.new("RGB", (64, 64)), candidate_labels=["one", "two"])
    assert {entry["label"] for entry in output} == {"one", "two"}


def test_weights_that_load_differently_raise_error(
    saved: Callable[[str], tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_damaged(directory: str, dtype: str = "auto") -> tuple[Any, Any]:
        model, processor = load_saved(directory, dtype)
        if Path(directory) == tmp_path:
            model.classifier.bias.data[0] += 1
        return model, processor

    monkeypatch.setattr(int8, "load_saved", load_damaged)
    with pytest.raises(UserError, match=r"ViTForImageClassification cannot be saved .* another classifier\.bias"):
        int8.save(str(saved("tiny-vit")[0]), tmp_path)


def test_missing_torchao_raises_error_with_the_package(tiny_vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    assert importlib.util.find_spec("torchao")
    with pytest.raises(UserError, match=r'needs torchao, which is not installed: pip install "hfmm\[int8\]"'):
        int8.load(str(tiny_vit))


def test_loading_int8_weights_without_torchao_raises_error(
    saved: Callable[[str], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.core.config", None)
    with pytest.raises(UserError, match=r"needs the package 'torchao.*pip install torchao"):
        load_saved(str(saved("tiny-vit")[1]))


def test_int8_weights_cannot_be_trained(
    saved: Callable[[str], tuple[Path, Path]], write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(saved("tiny-vit")[1], tmp_path / "int8")
    recipe = load_recipe(str(write_recipe(tmp_path / "int8")))
    with pytest.raises(UserError, match=r"model.checkpoint: .*int8 has quantized weights, which cannot be trained"):
        checkpoint.load_weights(transformers.AutoModelForImageClassification, str(tmp_path / "int8"), recipe.model)
