import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hfmm.assets import CHECKPOINTS
from hfmm.errors import UserError
from hfmm.models import dual_encoder
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe, Stage
from hfmm.tasks.contrastive import ContrastiveTask
from hfmm.training import trainable
from tests.loading import load_model, load_processor

LAYERS = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
NO_PROCESSOR = SimpleNamespace(image_processor=None)  # the tests create the batches
TEXT = LAYERS | {"vocab_size": 99, "max_position_embeddings": 64, "eos_token_id": 2}
VISION = LAYERS | {"image_size": 32, "patch_size": 16}
PATCHES = {
    "pixel_values": torch.randn(3, 4, 16 * 16 * 3),
    "pixel_attention_mask": torch.ones(3, 4, dtype=torch.long),
    "spatial_shapes": torch.tensor([[2, 2]] * 3),
}
CONFIGS: dict[str, Callable[[], Any]] = {
    "clip": lambda: transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16),
    "siglip": lambda: transformers.SiglipConfig(text_config=TEXT, vision_config=VISION),
    "siglip2": lambda: transformers.Siglip2Config(
        text_config=TEXT, vision_config=LAYERS | {"patch_size": 16, "num_patches": 4}
    ),
    "altclip": lambda: transformers.AltCLIPConfig(
        text_config=TEXT | {"project_dim": 16}, vision_config=VISION, projection_dim=16
    ),
    "chinese_clip": lambda: transformers.ChineseCLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16),
    "blip": lambda: transformers.BlipConfig(
        text_config=TEXT | {"projection_dim": 16, "encoder_hidden_size": 16}, vision_config=VISION, projection_dim=16
    ),
    "align": lambda: transformers.AlignConfig(
        text_config=TEXT,
        vision_config={"image_size": 32, "width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 16}
        | {"initializer_range": 0.5},
        projection_dim=32,
        temperature_init_value=0.1,
    ),
    "vision-text-dual-encoder": lambda: transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
        transformers.ViTConfig(**VISION), transformers.BertConfig(**TEXT), projection_dim=16
    ),
}


def tiny_model(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return a tiny model of a model type, and a batch of three images and texts."""
    torch.manual_seed(0)
    config = CONFIGS[name]()
    assert config.model_type in dual_encoder.FAMILY.supported_model_types(dual_encoder.AUTO_CLASS)
    is_pair = config.model_type == dual_encoder.PAIRED_MODEL_TYPE
    if is_pair:
        model = transformers.VisionTextDualEncoderModel(config)
    else:
        model = transformers.AutoModelForZeroShotImageClassification.from_config(config)
    ids = torch.randint(3, 99, (3, 7))
    tokens = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return model.eval(), PATCHES if name == "siglip2" else {"pixel_values": torch.randn(3, 3, 32, 32)}, tokens


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_follow_from_embeddings_scale_and_bias(name: str) -> None:
    model, pixels, tokens = tiny_model(name)
    with torch.no_grad():
        images, texts = dual_encoder.FAMILY.embed_images(model, pixels), dual_encoder.FAMILY.embed_texts(model, tokens)
        normalize = torch.nn.functional.normalize
        logits = normalize(images) @ normalize(texts).T * dual_encoder.FAMILY.logit_scale(
            model
        ) + dual_encoder.FAMILY.logit_bias(model)
        torch.testing.assert_close(model(**pixels, **tokens).logits_per_image, logits)


@pytest.mark.parametrize("name", CONFIGS)
def test_training_lowers_the_loss(name: str) -> None:
    model, pixels, tokens = tiny_model(name)
    task = ContrastiveTask(model.config, NO_PROCESSOR, ContrastiveTask.Options())
    assert task.sigmoid == hasattr(model, "logit_bias")
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = task.loss(model, {**pixels, **tokens, "labels": torch.eye(3, dtype=torch.bool)}, 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert task.on_step_end(model)["logit_scale"] <= 100.01
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize("modules", ["lora", "all"])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_trainable_module_gets_a_gradient(name: str, modules: str) -> None:
    model, pixels, tokens = tiny_model(name)
    stage = Stage.model_validate({"name": "one", "trainable": modules, "num_train_epochs": 1, "learning_rate": 1e-3})
    tuned = trainable.set_trainable(model, stage, dual_encoder.FAMILY, [], "stages.one.trainable")
    task = ContrastiveTask(model.config, NO_PROCESSOR, ContrastiveTask.Options())
    inner = tuned.get_base_model() if modules == "lora" else tuned
    task.loss(inner, {**pixels, **tokens, "labels": torch.eye(3, dtype=torch.bool)}, 3).backward()
    assert trainable.modules_without_gradient(tuned) == []


@pytest.mark.parametrize("name", ["clip", "align"])
def test_logit_scale_is_clamped(name: str) -> None:
    model = transformers.AutoModelForZeroShotImageClassification.from_config(CONFIGS[name]())
    with torch.no_grad():
        for parameter, value in (("logit_scale", 9.0), ("temperature", 1e-4)):
            if hasattr(model, parameter):
                getattr(model, parameter).fill_(value)
    dual_encoder.FAMILY.clamp_logit_scale(model)
    assert dual_encoder.FAMILY.logit_scale(model).item() == pytest.approx(100)


def _recipe(folder: Path, checkpoint: Path, *overrides: str) -> Recipe:
    path = folder / "contrastive.yaml"
    path.write_text(
        "name: pairs\ntask: contrastive\ndata: {builder: icons}\n"
        f"model: {{checkpoint: {checkpoint}}}\n"
        "stages: [{name: full, trainable: all, num_train_epochs: 1, learning_rate: 1.0e-3}]\nmetrics: [retrieval]\n"
    )
    return load_recipe(str(path), overrides)


def test_checkpoint_without_text_tower_raises_error(tiny_vit: Path) -> None:
    with pytest.raises(UserError, match=r"'vit' model and has no text tower.*--set model\.text_model="):
        load_processor(_recipe(tiny_vit.parent, tiny_vit), dual_encoder.AUTO_CLASS)


def test_dual_encoder_with_a_second_text_tower_raises_error(tiny_clip: Path) -> None:
    with pytest.raises(UserError, match="has its own text tower"):
        load_processor(
            _recipe(tiny_clip.parent, tiny_clip, "model.text_model=bert-base-uncased"), dual_encoder.AUTO_CLASS
        )


def _pair(tiny_vit: Path, text: Path | str) -> tuple[Any, Any]:
    recipe = _recipe(tiny_vit.parent, tiny_vit, f"model.text_model={text}")
    loaded: tuple[Any, Any] = load_model(recipe, datasets.Features(), dual_encoder.AUTO_CLASS)
    return loaded


def test_missing_pooler_starts_as_the_identity(tiny_vit: Path, tiny_bert: Path) -> None:
    model, _ = _pair(tiny_vit, tiny_bert)
    with torch.no_grad():
        output = model.vision_model(torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(output.pooler_output, output.last_hidden_state[:, 0].tanh())
    expected = transformers.AutoModel.from_pretrained(tiny_bert).pooler.dense.weight
    assert model.text_model.pooler.dense.weight.equal(expected)


def _without(folder: Path, out: Path, tensor: str) -> Path:
    """Copy a checkpoint without one of its tensors."""
    shutil.copytree(folder, out)
    tensors = load_file(out / "model.safetensors")
    del tensors[next(name for name in tensors if tensor in name)]
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    return out


def test_missing_tensors_of_a_tower_raise_error_with_its_recipe_key(
    tiny_vit: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    damaged = _without(tiny_vit, tmp_path / "vit", "layernorm_after")
    with pytest.raises(UserError, match=r"model\.checkpoint: .*/vit lacks 1 tensors that a ViTModel needs"):
        _pair(damaged, tiny_bert)
    with pytest.raises(UserError, match=r"model\.text_model: .*/bert lacks 1 tensors that a BertModel needs"):
        _pair(tiny_vit, _without(tiny_bert, tmp_path / "bert", "word_embeddings"))


def test_tower_without_pooled_output_raises_error(tiny_vit: Path, tiny_bert: Path, tmp_path: Path) -> None:
    text, vision = tmp_path / "text", tmp_path / "vision"
    size = transformers.AutoConfig.from_pretrained(tiny_bert).vocab_size
    config = transformers.DistilBertConfig(vocab_size=size, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    transformers.DistilBertModel(config).save_pretrained(text)
    transformers.AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(text)
    with pytest.raises(
        UserError, match=r"model\.text_model: .*'distilbert' model.*no attribute 'pooler_output'.*a BERT"
    ):
        _pair(tiny_vit, text)
    tower = transformers.ConvNextModel(transformers.ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4))
    tower.save_pretrained(vision)
    shutil.copy(tiny_vit / "preprocessor_config.json", vision)
    with pytest.raises(UserError, match=r"model\.checkpoint: .*'convnext' model.*has no hidden_size.*a ViT"):
        _pair(vision, tiny_bert)


def test_text_checkpoint_can_be_a_home_path_but_must_exist(
    tiny_vit: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tiny_bert.parent))
    assert _pair(tiny_vit, f"~/{tiny_bert.name}")[0].text_model.config.model_type == "bert"
    with pytest.raises(UserError, match=r"model\.text_model: builtin:tiny-bert does not exist"):
        _pair(tiny_vit, "builtin:tiny-bert")


@pytest.mark.parametrize(
    ("options", "expected"), [({}, True), ({"text_model": "bert"}, False), ({"init_vision_from": "vit"}, False)]
)
def test_checkpoint_with_another_tower_is_not_unmodified(options: dict[str, str], expected: bool) -> None:
    assert dual_encoder.FAMILY.is_unmodified_checkpoint(dual_encoder.DualEncoderOptions(**options)) is expected  # type: ignore[arg-type]


def test_vision_tower_can_be_initialized_from_a_llava(tmp_path: Path) -> None:
    torch.manual_seed(0)
    siglip = transformers.AutoConfig.from_pretrained(str(CHECKPOINTS / "tiny-siglip"))
    text_config = transformers.LlamaConfig(**LAYERS, vocab_size=99, num_key_value_heads=2)
    configs = {"vision_config": siglip.vision_config, "text_config": text_config}
    config = transformers.LlavaConfig(**configs, image_token_index=98)
    llava = transformers.LlavaForConditionalGeneration(config)
    llava.save_pretrained(tmp_path / "llava")
    recipe = _recipe(tmp_path, CHECKPOINTS / "tiny-siglip", f"model.init_vision_from={tmp_path / 'llava'}")
    model, _ = load_model(recipe, datasets.Features(), dual_encoder.AUTO_CLASS)
    tower = llava.model.vision_tower.state_dict()
    assert all(tensor.equal(tower[name]) for name, tensor in model.vision_model.state_dict().items())


def test_vision_tower_of_another_size_raises_error(tiny_vit: Path) -> None:
    with pytest.raises(
        UserError, match=r"model\.init_vision_from: .*does not fit the vision tower of this 'siglip' model"
    ):
        recipe = _recipe(tiny_vit.parent, CHECKPOINTS / "tiny-siglip", f"model.init_vision_from={tiny_vit}")
        load_model(recipe, datasets.Features(), dual_encoder.AUTO_CLASS)
