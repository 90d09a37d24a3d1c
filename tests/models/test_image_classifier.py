from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import Features

from hfmm import models
from hfmm.data.common.labels import label_feature, label_names
from hfmm.errors import UserError
from hfmm.models.common.checkpoint import load_saved
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe, Stage
from hfmm.training import trainable
from tests.loading import load_model, load_original

FEATURES = Features({"label": label_feature({"tense": ["past", "present"], "person": ["1sg", "2sg", "3sg"]})})
AUTO_CLASS = "AutoModelForImageClassification"


def write_recipe_for(folder: Path, tmp_path: Path, *overrides: str) -> Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: r\ntask: image_classification\ndata: {{builder: icons}}\nmodel: {{checkpoint: {folder}}}\n"
        "stages: [{name: a, trainable: all, num_train_epochs: 1, learning_rate: 1}]\nmetrics: [accuracy]\n"
    )
    return load_recipe(str(path), overrides)


@pytest.mark.parametrize("family", ["tiny_vit", "tiny_dinov2"])
def test_new_head_has_uniform_probabilities_and_a_pretrained_encoder(
    family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import torch
    from transformers import AutoModel

    folder = request.getfixturevalue(family)
    model, _ = load_model(write_recipe_for(folder, tmp_path), FEATURES, AUTO_CLASS)
    assert model.config.id2label[0] == "tense: past"
    assert model.config.problem_type == "multi_label_classification"
    assert model.classifier.bias.tolist() == pytest.approx([0, 0] + 3 * [-0.6931], abs=1e-3)
    pretrained = AutoModel.from_pretrained(folder).state_dict()
    for name, value in model.base_model.state_dict().items():
        assert torch.equal(value, pretrained[name]), name


def save_with_head(tiny_vit: Path, folder: Path, names: list[str]) -> Any:
    """Save the checkpoint with a head for ``names`` in a folder, and return its model."""
    import torch
    from transformers import AutoModelForImageClassification

    shutil.copytree(tiny_vit, folder)
    id2label = dict(enumerate(names))
    model = AutoModelForImageClassification.from_pretrained(
        tiny_vit, id2label=id2label, label2id={name: number for number, name in id2label.items()}
    )
    torch.nn.init.normal_(model.classifier.bias)
    model.save_pretrained(folder)
    return model


def test_head_for_the_same_labels_is_reordered(tiny_vit: Path, tmp_path: Path) -> None:
    head = save_with_head(tiny_vit, tmp_path / "trained", label_names(FEATURES)[::-1]).classifier
    loaded, _ = load_model(write_recipe_for(tmp_path / "trained", tmp_path), FEATURES, AUTO_CLASS)
    assert loaded.classifier.weight.equal(head.weight.flip(0))
    assert loaded.classifier.bias.equal(head.bias.flip(0))


@pytest.mark.parametrize("names", [["a", "b", "c", "d", "e"], [f"LABEL_{number}" for number in range(5)]])
def test_head_for_other_labels_is_reinitialized(names: list[str], tiny_vit: Path, tmp_path: Path) -> None:
    from transformers import set_seed

    trained = save_with_head(tiny_vit, tmp_path / "trained", names)
    recipe = write_recipe_for(tmp_path / "trained", tmp_path)
    weights = []
    for _ in range(2):
        set_seed(0)
        model, _ = load_model(recipe, FEATURES, AUTO_CLASS)
        weights.append(model.classifier.weight)
    assert weights[0].equal(weights[1]) and not weights[0].equal(trained.classifier.weight)
    assert model.classifier.bias.tolist() == pytest.approx([0, 0] + 3 * [-0.6931], abs=1e-3)
    assert float(weights[0].detach().abs().max()) < 5 * model.config.initializer_range
    encoder = trained.vit.state_dict()
    assert all(tensor.equal(encoder[name]) for name, tensor in model.vit.state_dict().items())


@pytest.mark.parametrize("init", ["pretrained", "random"])
def test_original_checkpoint_has_the_initial_weights_of_training(init: str, tiny_vit: Path, tmp_path: Path) -> None:
    from transformers import set_seed

    set_seed(7)
    initial, _ = load_model(write_recipe_for(tiny_vit, tmp_path), FEATURES, AUTO_CLASS)
    recipe = write_recipe_for(tiny_vit, tmp_path, "seed=7", f"model.init={init}")
    expected = initial.state_dict()
    model, _ = load_original(recipe, FEATURES, AUTO_CLASS)
    assert all(tensor.equal(expected[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("model_type", "head"), [("hgnet_v2", "fc"), ("pp_lcnet", "head")])
def test_head_is_the_last_layer_without_a_base_model(model_type: str, head: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForImageClassification

    with torch.device("meta"):
        model = AutoModelForImageClassification.from_config(AutoConfig.for_model(model_type))
    assert models.find_family(model_type, [AUTO_CLASS], "x")[0].modules_to_save(model) == [head]


def test_random_weights_differ_from_the_checkpoint(tiny_vit: Path, tmp_path: Path) -> None:
    import torch

    loaded, _ = load_model(write_recipe_for(tiny_vit, tmp_path), FEATURES, AUTO_CLASS)
    random, _ = load_model(write_recipe_for(tiny_vit, tmp_path, "model.init=random"), FEATURES, AUTO_CLASS)
    assert not torch.equal(loaded.vit.embeddings.cls_token, random.vit.embeddings.cls_token)


def test_missing_encoder_tensor_raises_error(tiny_vit: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "partial"
    shutil.copytree(tiny_vit, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layer" in name)
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 tensors"):
        load_model(write_recipe_for(folder, tmp_path), FEATURES, AUTO_CLASS)


def test_trainable_option_selects_the_parameters(tiny_vit: Path, tmp_path: Path) -> None:
    for modules, expected in (("all", {"vit", "classifier"}), (["classifier"], {"classifier"})):
        model, _ = load_model(write_recipe_for(tiny_vit, tmp_path), FEATURES, AUTO_CLASS)
        stage = Stage(name="s", trainable=modules, num_train_epochs=1, learning_rate=1)
        trainable.set_trainable(model, stage, models.find_family("vit", [AUTO_CLASS], "x")[0], [], "key")
        trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert trained == expected


def test_lora_trains_its_adapters_and_the_head_only(tiny_vit: Path, tmp_path: Path) -> None:
    model, _ = load_model(write_recipe_for(tiny_vit, tmp_path), FEATURES, AUTO_CLASS)
    stage = Stage(name="s", trainable="lora", num_train_epochs=1, learning_rate=1)
    adapted = trainable.set_trainable(model, stage, models.find_family("vit", [AUTO_CLASS], "x")[0], [], "key")
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name or "classifier.modules_to_save" in name for name in trained)
    rows = {row.module: row for row in trainable.parameter_table(adapted)}
    assert rows["classifier"].trainable == rows["classifier"].parameters
    assert 0 < rows["vit.layers"].trainable < rows["vit.layers"].parameters


def test_module_without_gradient_is_found(tiny_vit: Path, tmp_path: Path) -> None:
    import torch

    model, _ = load_model(write_recipe_for(tiny_vit, tmp_path), FEATURES, AUTO_CLASS)
    model.unused = torch.nn.Linear(2, 2)
    model(torch.randn(1, 3, 32, 32)).logits.sum().backward()
    assert trainable.modules_without_gradient(model) == ["unused"]


@pytest.mark.parametrize(
    ("stages", "is_complete"),
    [
        (["lora"], True),
        (["classifier", "lora"], True),
        (["logit_scale", "lora"], False),
        (["all", "lora"], False),
        (["lora", "all"], False),
        (["all"], False),
    ],
)
def test_adapter_is_complete_only_if_it_holds_all_changes(stages: list[str], is_complete: bool, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"base_model.model.classifier.weight": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    stage_list = [
        Stage.model_validate({"name": str(index), "trainable": modules, "num_train_epochs": 1, "learning_rate": 1})
        for index, modules in enumerate(stages)
    ]
    assert trainable.adapter_is_complete(stage_list, tmp_path) is is_complete


@pytest.fixture(params=["clip", "metaclip_2", "siglip", "siglip2"])
def dual_encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Save a tiny dual encoder. Its classifiers have the vision tower under another name than other classifiers."""
    import transformers

    layers = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = layers | {"vocab_size": 99, "max_position_embeddings": 64, "eos_token_id": 2}
    has_flexible_size = request.param == "siglip2"
    size = {"num_patches": 4} if has_flexible_size else {"image_size": 32}
    config = transformers.AutoConfig.for_model(
        request.param, text_config=text, vision_config=layers | size | {"patch_size": 16}
    )
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "pairs")
    processor = (
        transformers.Siglip2ImageProcessor(patch_size=16, max_num_patches=4)
        if has_flexible_size
        else transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    )
    processor.save_pretrained(tmp_path / "pairs")
    return tmp_path / "pairs"


@pytest.mark.parametrize("modules", ["all", "lora", ["classifier"]])
def test_classifier_keeps_and_trains_the_tower_of_a_dual_encoder(
    dual_encoder: Path, modules: str | list[str], tmp_path: Path
) -> None:
    from PIL import Image
    from transformers import AutoModel

    from hfmm.tasks.image_classification import ImageClassificationTask

    model, processor = load_model(write_recipe_for(dual_encoder, tmp_path), FEATURES, AUTO_CLASS)
    family = models.find_family(model.config.model_type, [AUTO_CLASS], "x")[0]
    tower = AutoModel.from_pretrained(dual_encoder).vision_model.state_dict()
    assert all(tensor.equal(tower[name]) for name, tensor in model.vision_model.state_dict().items())
    assert family.modules_to_save(model) == ["classifier"]
    task = ImageClassificationTask(model.config, processor, ImageClassificationTask.Options())
    batch = task.collate([{"id": "1", "image": Image.radial_gradient("L").convert("RGB"), "label": [0, 2]}])
    tuned = trainable.set_trainable(
        model, Stage(name="s", trainable=modules, num_train_epochs=1, learning_rate=1), family, [], "here"
    )
    task.loss(tuned, batch, 1).backward()
    assert trainable.modules_without_gradient(tuned) == []
    trained = [name for name, parameter in tuned.named_parameters() if parameter.requires_grad]
    assert any("encoder.layers" in name for name in trained) == (modules != ["classifier"])


def test_saved_classifier_loads_with_an_image_processor(dual_encoder: Path, tmp_path: Path) -> None:
    saved = load_model(write_recipe_for(dual_encoder, tmp_path), FEATURES, AUTO_CLASS)
    for part in saved:
        part.save_pretrained(tmp_path / "saved")
    loaded = load_saved(str(tmp_path / "saved"))
    assert [type(part) for part in loaded] == [type(part) for part in saved]
    assert loaded[1].to_dict() == saved[1].to_dict()


def test_missing_tensor_of_a_dual_encoder_tower_raises_error(dual_encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(dual_encoder / "model.safetensors")
    del tensors[next(name for name in tensors if name.startswith("vision_model.") and "fc1" in name)]
    save_file(tensors, dual_encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 tensors"):
        load_model(write_recipe_for(dual_encoder, tmp_path), FEATURES, AUTO_CLASS)
