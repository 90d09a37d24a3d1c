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
AUTO = "AutoModelForImageClassification"


def with_checkpoint(folder: Path, tmp_path: Path, *overrides: str) -> Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: r\ntask: image_classification\ndata: {{builder: icons}}\nmodel: {{checkpoint: {folder}}}\n"
        "stages: [{name: a, trainable: all, num_train_epochs: 1, learning_rate: 1}]\nmetrics: [accuracy]\n"
    )
    return load_recipe(str(path), overrides)


@pytest.mark.parametrize("family", ["tiny_vit", "tiny_dinov2"])
def test_only_the_head_is_new_and_it_starts_from_even_odds(
    family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import torch
    from transformers import AutoModel

    folder = request.getfixturevalue(family)
    model, _ = load_model(with_checkpoint(folder, tmp_path), FEATURES, AUTO)
    assert model.config.id2label[0] == "tense: past"
    assert model.config.problem_type == "multi_label_classification"
    assert model.classifier.bias.tolist() == pytest.approx([0, 0] + 3 * [-0.6931], abs=1e-3)
    pretrained = AutoModel.from_pretrained(folder).state_dict()
    for name, value in model.base_model.state_dict().items():
        assert torch.equal(value, pretrained[name]), name


def trained_head(tiny_vit: Path, folder: Path, names: list[str]) -> Any:
    """Write the checkpoint with a head for ``names`` into a folder and return its model."""
    import torch
    from transformers import AutoModelForImageClassification

    shutil.copytree(tiny_vit, folder)
    numbered = dict(enumerate(names))
    model = AutoModelForImageClassification.from_pretrained(
        tiny_vit, id2label=numbered, label2id={name: number for number, name in numbered.items()}
    )
    torch.nn.init.normal_(model.classifier.bias)
    model.save_pretrained(folder)
    return model


def test_a_head_for_the_same_labels_in_another_order_is_kept_each_label_with_its_row(
    tiny_vit: Path, tmp_path: Path
) -> None:
    came = trained_head(tiny_vit, tmp_path / "trained", label_names(FEATURES)[::-1]).classifier
    kept, _ = load_model(with_checkpoint(tmp_path / "trained", tmp_path), FEATURES, AUTO)
    assert kept.classifier.weight.equal(came.weight.flip(0)) and kept.classifier.bias.equal(came.bias.flip(0))


@pytest.mark.parametrize("names", [["a", "b", "c", "d", "e"], [f"LABEL_{number}" for number in range(5)]])
def test_a_head_for_as_many_other_labels_is_drawn_anew(names: list[str], tiny_vit: Path, tmp_path: Path) -> None:
    from transformers import set_seed

    came = trained_head(tiny_vit, tmp_path / "trained", names)
    recipe = with_checkpoint(tmp_path / "trained", tmp_path)
    drawn = []
    for _ in range(2):
        set_seed(0)
        model, _ = load_model(recipe, FEATURES, AUTO)
        drawn.append(model.classifier.weight)
    assert drawn[0].equal(drawn[1]) and not drawn[0].equal(came.classifier.weight)
    assert model.classifier.bias.tolist() == pytest.approx([0, 0] + 3 * [-0.6931], abs=1e-3)
    assert float(drawn[0].detach().abs().max()) < 5 * model.config.initializer_range
    encoder = came.vit.state_dict()
    assert all(tensor.equal(encoder[name]) for name, tensor in model.vit.state_dict().items())


@pytest.mark.parametrize("init", ["pretrained", "random"])
def test_the_untouched_checkpoint_has_its_weights_and_the_new_head_that_training_begins_with(
    init: str, tiny_vit: Path, tmp_path: Path
) -> None:
    from transformers import set_seed

    set_seed(7)
    begun, _ = load_model(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
    recipe = with_checkpoint(tiny_vit, tmp_path, "seed=7", f"model.init={init}")
    expected = begun.state_dict()
    model, _ = load_original(recipe, FEATURES, AUTO)
    assert all(tensor.equal(expected[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("kind", "last"), [("hgnet_v2", "fc"), ("pp_lcnet", "head")])
def test_the_head_of_a_model_without_an_encoder_of_its_own_is_its_last_layer(kind: str, last: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForImageClassification

    with torch.device("meta"):
        model = AutoModelForImageClassification.from_config(AutoConfig.for_model(kind))
    assert models.find_family(kind, [AUTO], "x")[0].modules_to_save(model) == [last]


def test_random_weights_differ_from_the_checkpoint(tiny_vit: Path, tmp_path: Path) -> None:
    import torch

    loaded, _ = load_model(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
    fresh, _ = load_model(with_checkpoint(tiny_vit, tmp_path, "model.init=random"), FEATURES, AUTO)
    assert not torch.equal(loaded.vit.embeddings.cls_token, fresh.vit.embeddings.cls_token)


def test_a_checkpoint_that_lacks_more_than_the_head_is_refused(tiny_vit: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "partial"
    shutil.copytree(tiny_vit, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layer" in name)
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 tensors"):
        load_model(with_checkpoint(folder, tmp_path), FEATURES, AUTO)


def test_each_way_of_training_frees_exactly_its_parameters(tiny_vit: Path, tmp_path: Path) -> None:
    for train, expected in (("all", {"vit", "classifier"}), (["classifier"], {"classifier"})):
        model, _ = load_model(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
        stage = Stage(name="s", trainable=train, num_train_epochs=1, learning_rate=1)
        trainable.set_trainable(model, stage, models.find_family("vit", [AUTO], "x")[0], [], "here")
        free = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert free == expected


def test_lora_frees_its_factors_and_the_head_only(tiny_vit: Path, tmp_path: Path) -> None:
    model, _ = load_model(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
    stage = Stage(name="s", trainable="lora", num_train_epochs=1, learning_rate=1)
    adapted = trainable.set_trainable(model, stage, models.find_family("vit", [AUTO], "x")[0], [], "here")
    free = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert free
    assert all("lora_" in name or "classifier.modules_to_save" in name for name in free)
    rows = {row.module: row for row in trainable.parameter_table(adapted)}
    assert rows["classifier"].trainable == rows["classifier"].parameters
    assert 0 < rows["vit.layers"].trainable < rows["vit.layers"].parameters


def test_a_module_that_no_gradient_reaches_is_found(tiny_vit: Path, tmp_path: Path) -> None:
    import torch

    model, _ = load_model(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
    model.unused = torch.nn.Linear(2, 2)
    model(torch.randn(1, 3, 32, 32)).logits.sum().backward()
    assert trainable.modules_without_gradient(model) == ["unused"]


@pytest.mark.parametrize(
    ("stages", "stands_alone"),
    [
        (["lora"], True),
        (["classifier", "lora"], True),
        (["logit_scale", "lora"], False),
        (["all", "lora"], False),
        (["lora", "all"], False),
        (["all"], False),
    ],
)
def test_an_adapter_stands_alone_only_where_it_holds_every_difference(
    stages: list[str], stands_alone: bool, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"base_model.model.classifier.weight": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    made = [
        Stage.model_validate({"name": str(index), "trainable": train, "num_train_epochs": 1, "learning_rate": 1})
        for index, train in enumerate(stages)
    ]
    assert trainable.adapter_is_complete(made, tmp_path) is stands_alone


@pytest.fixture(params=["clip", "metaclip_2", "siglip", "siglip2"])
def dual_encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint of a vision and a text tower, whose classifiers call the former by another name than most."""
    import transformers

    layers = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = layers | {"vocab_size": 99, "max_position_embeddings": 64, "eos_token_id": 2}
    flexible = request.param == "siglip2"
    size = {"num_patches": 4} if flexible else {"image_size": 32}
    config = transformers.AutoConfig.for_model(
        request.param, text_config=text, vision_config=layers | size | {"patch_size": 16}
    )
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "pairs")
    processor = (
        transformers.Siglip2ImageProcessor(patch_size=16, max_num_patches=4)
        if flexible
        else transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    )
    processor.save_pretrained(tmp_path / "pairs")
    return tmp_path / "pairs"


@pytest.mark.parametrize("train", ["all", "lora", ["classifier"]])
def test_a_classifier_keeps_the_tower_of_a_dual_encoder_and_all_that_it_reads_trains(
    dual_encoder: Path, train: str | list[str], tmp_path: Path
) -> None:
    from PIL import Image
    from transformers import AutoModel

    from hfmm.tasks.image_classification import ImageClassificationTask

    model, processor = load_model(with_checkpoint(dual_encoder, tmp_path), FEATURES, AUTO)
    family = models.find_family(model.config.model_type, [AUTO], "x")[0]
    tower = AutoModel.from_pretrained(dual_encoder).vision_model.state_dict()
    assert all(tensor.equal(tower[name]) for name, tensor in model.vision_model.state_dict().items())
    assert family.modules_to_save(model) == ["classifier"]
    task = ImageClassificationTask(model.config, processor, ImageClassificationTask.Options())
    batch = task.collate([{"id": "1", "image": Image.radial_gradient("L").convert("RGB"), "label": [0, 2]}])
    tuned = trainable.set_trainable(
        model, Stage(name="s", trainable=train, num_train_epochs=1, learning_rate=1), family, [], "here"
    )
    task.loss(tuned, batch, 1).backward()
    assert trainable.modules_without_gradient(tuned) == []
    free = [name for name, parameter in tuned.named_parameters() if parameter.requires_grad]
    assert any("encoder.layers" in name for name in free) == (train != ["classifier"])


def test_a_saved_classifier_is_loaded_with_its_image_processor_alone(dual_encoder: Path, tmp_path: Path) -> None:
    made = load_model(with_checkpoint(dual_encoder, tmp_path), FEATURES, AUTO)
    for part in made:
        part.save_pretrained(tmp_path / "saved")
    again = load_saved(str(tmp_path / "saved"))
    assert [type(part) for part in again] == [type(part) for part in made]
    assert again[1].to_dict() == made[1].to_dict()


def test_a_dual_encoder_that_lacks_a_tensor_of_its_tower_is_refused(dual_encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(dual_encoder / "model.safetensors")
    del tensors[next(name for name in tensors if name.startswith("vision_model.") and "fc1" in name)]
    save_file(tensors, dual_encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 tensors"):
        load_model(with_checkpoint(dual_encoder, tmp_path), FEATURES, AUTO)
