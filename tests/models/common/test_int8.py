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
PICTURE = torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
TOKENS = torch.tensor([[3, 5, 7, 9], [4, 6, 8, 2]])
ASKED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "tiny-vit": lambda model: {"pixel_values": PICTURE},
    "tiny-clip": lambda model: {"pixel_values": PICTURE, "input_ids": TOKENS},
    "tiny-siglip": lambda model: {"pixel_values": PICTURE, "input_ids": TOKENS},
    "pair": lambda model: {"pixel_values": PICTURE[..., :32, :32], "input_ids": TOKENS},
    "tiny-whisper": lambda model: {
        "input_features": torch.linspace(
            -1, 1, 4 * model.config.num_mel_bins * model.config.max_source_positions
        ).reshape(2, model.config.num_mel_bins, -1),
        "decoder_input_ids": TOKENS,
    },
    "tiny-llm": lambda model: {"input_ids": TOKENS},
    "llava": lambda model: {"input_ids": TOKENS, "pixel_values": None},
}
FAMILY = pytest.mark.parametrize("family", ASKED)


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory, tiny_vit: Path, tiny_bert: Path, tiny_llama: Path
) -> Callable[[str], tuple[Path, Path]]:
    """Return a family's model as it is on disk, and as it is saved with int8 weights; made once."""
    root = tmp_path_factory.mktemp("int8")
    pictures = transformers.AutoImageProcessor.from_pretrained(tiny_vit)

    def pair(folder: Path) -> None:
        towers = (transformers.AutoModel.from_pretrained(one).config for one in (tiny_vit, tiny_bert))
        config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(*towers, projection_dim=16)
        transformers.VisionTextDualEncoderModel(config).save_pretrained(folder)
        reader = transformers.AutoTokenizer.from_pretrained(tiny_bert)
        transformers.VisionTextDualEncoderProcessor(pictures, reader).save_pretrained(folder)

    def llava(folder: Path) -> None:
        text = transformers.AutoConfig.from_pretrained(tiny_llama)
        vision = transformers.CLIPVisionConfig(**LAYERS, image_size=32, patch_size=16)
        config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=1)
        transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
        speaker = transformers.AutoTokenizer.from_pretrained(tiny_llama)
        speaker.add_tokens(["<image>"])
        transformers.LlavaProcessor(pictures, speaker, patch_size=16).save_pretrained(folder)

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
    given = {
        name: value.to(model.dtype) if value is not None and value.is_floating_point() else value
        for name, value in ASKED[family](model).items()
    }
    with torch.inference_mode():
        said = model.eval()(**given)
    return getattr(said, "logits", None) if "logits" in said else said.logits_per_image


@FAMILY
def test_what_is_loaded_again_says_the_same_to_the_bit_and_nearly_what_the_full_model_says(
    saved: Callable[[str], tuple[Path, Path]], family: str
) -> None:
    source, target = saved(family)
    full, first, again = load_saved(str(source))[0], int8.load(str(source))[0], load_saved(str(target))[0]
    assert type(again) is type(full) and again.dtype == torch.bfloat16
    expected, made, read = (outputs(model, family).float() for model in (full, first, again))
    assert torch.equal(made, read)
    assert not torch.equal(made, expected)
    assert (made - expected).abs().max() < 0.1 * expected.abs().max()


@FAMILY
def test_linear_layers_are_int8_and_output_layers_and_embeddings_are_whole(
    saved: Callable[[str], tuple[Path, Path]], family: str
) -> None:
    model = load_saved(str(saved(family)[1]))[0]
    linear = {name for name, module in model.named_modules() if type(module) is nn.Linear}
    rounded = {name for name in linear if isinstance(model.get_submodule(name).weight.data, Int8Tensor)}
    assert len(rounded) > 10
    assert linear - rounded <= {"lm_head", "proj_out", "text_projection"}
    others = {name for name, tensor in model.named_parameters() if isinstance(tensor.data, Int8Tensor)}
    assert {name.removesuffix(".weight") for name in others} == rounded


@pytest.mark.parametrize("family", ["tiny-vit", "tiny-siglip", "tiny-whisper", "tiny-llm", "llava"])
def test_the_weights_are_those_that_transformers_makes_itself_where_it_can(
    saved: Callable[[str], tuple[Path, Path]], family: str
) -> None:
    source, target = saved(family)
    ours = load_saved(str(target))[0]
    settings = TorchAoConfig(Int8WeightOnlyConfig())
    theirs = type(ours).from_pretrained(source, dtype="bfloat16", quantization_config=settings)
    mine, other = (one.hf_quantizer.get_state_dict_and_metadata(one)[0] for one in (ours, theirs))
    assert mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


def test_the_same_model_gives_the_same_bytes_and_its_header_describes_int8_weights_alone(
    saved: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    source, target = saved("tiny-clip")
    int8.save(str(source), tmp_path / "again")
    assert {path.name for path in (tmp_path / "again").iterdir()} == {path.name for path in target.iterdir()}
    for path in target.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    with safe_open(target / "model.safetensors", "pt") as file:
        assert "logit_scale" in {*file.keys()} and "logit_scale" not in file.metadata()
        assert file.metadata()["format"] == "pt"


def test_a_pipeline_takes_the_saved_folder_of_a_clip(saved: Callable[[str], tuple[Path, Path]]) -> None:
    from PIL import Image

    matcher = transformers.pipeline("zero-shot-image-classification", model=str(saved("tiny-clip")[1]))
    said = matcher(Image.new("RGB", (64, 64)), candidate_labels=["one", "two"])
    assert {one["label"] for one in said} == {"one", "two"}


def test_what_is_read_otherwise_than_it_was_written_is_refused(
    saved: Callable[[str], tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(directory: str, dtype: str = "auto") -> tuple[Any, Any]:
        model, processor = load_saved(directory, dtype)
        if Path(directory) == tmp_path:
            model.classifier.bias.data[0] += 1
        return model, processor

    monkeypatch.setattr(int8, "load_saved", damaged)
    with pytest.raises(UserError, match=r"ViTForImageClassification does not survive .* another classifier\.bias"):
        int8.save(str(saved("tiny-vit")[0]), tmp_path)


def test_without_torchao_it_is_said_what_to_install(tiny_vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    assert importlib.util.find_spec("torchao")
    with pytest.raises(UserError, match=r'needs torchao, which is not installed: pip install "hfmm\[int8\]"'):
        int8.load(str(tiny_vit))


def test_a_folder_with_int8_weights_says_what_it_needs_where_torchao_is_missing(
    saved: Callable[[str], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.core.config", None)
    with pytest.raises(UserError, match=r"needs the package 'torchao.*pip install torchao"):
        load_saved(str(saved("tiny-vit")[1]))


def test_int8_weights_are_no_checkpoint_to_train_from(
    saved: Callable[[str], tuple[Path, Path]], write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(saved("tiny-vit")[1], tmp_path / "int8")
    recipe = load_recipe(str(write_recipe(tmp_path / "int8")))
    with pytest.raises(UserError, match=r"model.checkpoint: .*int8 holds quantized weights, which are read and not tr"):
        checkpoint.load_weights(transformers.AutoModelForImageClassification, str(tmp_path / "int8"), recipe.model)
