from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Features

from hfmm import models, recipe_file
from hfmm.data.labels import label_feature
from hfmm.errors import UserError
from hfmm.models import adapt
from hfmm.recipe import Recipe, Stage

FEATURES = Features({"label": label_feature({"tense": ["past", "present"], "person": ["1sg", "2sg", "3sg"]})})
AUTO = "AutoModelForImageClassification"


def with_checkpoint(folder: Path, tmp_path: Path, *overrides: str) -> Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: r\ntask: image_classification\ndata: {{builder: icons}}\nmodel: {{checkpoint: {folder}}}\n"
        "stages: [{name: a, train: all, epochs: 1, learning_rate: 1}]\nmetrics: [accuracy]\n"
    )
    return recipe_file.load(str(path), overrides)


@pytest.mark.parametrize("family", ["tiny_vit", "tiny_dinov2"])
def test_only_the_head_is_new_and_it_starts_from_even_odds(
    family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import torch
    from transformers import AutoModel

    folder = request.getfixturevalue(family)
    model, _ = models.load(with_checkpoint(folder, tmp_path), FEATURES, AUTO)
    assert model.config.id2label[0] == "tense: past"
    assert model.config.problem_type == "multi_label_classification"
    assert model.classifier.bias.tolist() == pytest.approx([0, 0] + 3 * [-0.6931], abs=1e-3)
    pretrained = AutoModel.from_pretrained(folder).state_dict()
    for name, value in model.base_model.state_dict().items():
        assert torch.equal(value, pretrained[name]), name


def test_random_weights_differ_from_the_checkpoint(tiny_vit: Path, tmp_path: Path) -> None:
    import torch

    loaded, _ = models.load(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
    fresh, _ = models.load(with_checkpoint(tiny_vit, tmp_path, "model.init=random"), FEATURES, AUTO)
    assert not torch.equal(loaded.vit.embeddings.cls_token, fresh.vit.embeddings.cls_token)


def test_a_checkpoint_that_lacks_more_than_the_head_is_refused(tiny_vit: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "partial"
    shutil.copytree(tiny_vit, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layer" in name)
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 tensors"):
        models.load(with_checkpoint(folder, tmp_path), FEATURES, AUTO)


def test_each_way_of_training_frees_exactly_its_parameters(tiny_vit: Path, tmp_path: Path) -> None:
    for train, expected in (("all", {"vit", "classifier"}), (["classifier"], {"classifier"})):
        model, _ = models.load(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
        stage = Stage(name="s", train=train, epochs=1, learning_rate=1)
        adapt.prepare(model, stage, models.family_of("vit", AUTO, "x"), [], "here")
        free = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert free == expected


def test_lora_frees_its_factors_and_the_head_only(tiny_vit: Path, tmp_path: Path) -> None:
    model, _ = models.load(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
    stage = Stage(name="s", train="lora", epochs=1, learning_rate=1)
    adapted = adapt.prepare(model, stage, models.family_of("vit", AUTO, "x"), [], "here")
    free = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert free
    assert all("lora_" in name or "classifier.modules_to_save" in name for name in free)
    rows = {row.module: row for row in adapt.table(adapted)}
    assert rows["classifier"].trainable == rows["classifier"].parameters
    assert 0 < rows["vit.layers"].trainable < rows["vit.layers"].parameters


def test_a_module_that_no_gradient_reaches_is_found(tiny_vit: Path, tmp_path: Path) -> None:
    import torch

    model, _ = models.load(with_checkpoint(tiny_vit, tmp_path), FEATURES, AUTO)
    model.unused = torch.nn.Linear(2, 2)
    model(torch.randn(1, 3, 32, 32)).logits.sum().backward()
    assert adapt.unreached(model) == ["unused"]


@pytest.mark.parametrize(
    ("stages", "stands_alone"),
    [
        (["lora"], True),
        (["classifier", "lora"], True),
        (["all", "lora"], False),
        (["lora", "all"], False),
        (["all"], False),
    ],
)
def test_an_adapter_stands_alone_only_where_it_holds_every_difference(stages: list[str], stands_alone: bool) -> None:
    made = [
        Stage.model_validate({"name": str(index), "train": train, "epochs": 1, "learning_rate": 1})
        for index, train in enumerate(stages)
    ]
    assert adapt.carried_by_adapter(made) is stands_alone
