from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Features
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, set_seed

from hfmm.data.common.labels import label_feature
from hfmm.errors import UserError
from hfmm.models import audio_classifier
from hfmm.models.common.checkpoint import load_saved
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe, Stage
from hfmm.tasks.audio_classification import AudioClassificationTask
from hfmm.training import trainable
from tests.audio_encoders import KINDS, audio_row, samples, save_audio_encoder
from tests.loading import load_model, load_original, load_processor

AUTO_CLASS = "AutoModelForAudioClassification"
NAMES = ["past", "present", "future"]
FEATURES = Features({"label": ClassLabel(names=NAMES)})


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    def write(folder: Path, *overrides: str) -> Recipe:
        path = tmp_path / "audio.yaml"
        path.write_text(
            "name: audio\ntask: audio_classification\ndata: {builder: spoken_verbs, label: tense}\n"
            f"model: {{checkpoint: {folder}}}\n"
            "stages: [{name: full, trainable: all, num_train_epochs: 1, learning_rate: 1.0e-3}]\nmetrics: [accuracy]\n"
        )
        return load_recipe(str(path), overrides)

    return write


@pytest.fixture(params=["whisper", *KINDS])
def encoder(request: pytest.FixtureRequest, tmp_path: Path, tiny_whisper: Path) -> Path:
    return tiny_whisper if request.param == "whisper" else save_audio_encoder(request.param, tmp_path / "encoder")


def encoder_of(model: Any) -> Any:
    return model.encoder if model.config.model_type == "whisper" else model.base_model


def test_new_head_on_a_pretrained_encoder(encoder: Path, recipe: Callable[..., Recipe]) -> None:
    model, _ = load_model(recipe(encoder), FEATURES, AUTO_CLASS)
    pretrained = AutoModel.from_pretrained(encoder)
    expected = (pretrained.encoder if pretrained.config.model_type == "whisper" else pretrained).state_dict()
    assert expected.keys() == encoder_of(model).state_dict().keys()
    assert all(tensor.equal(expected[name]) for name, tensor in encoder_of(model).state_dict().items())
    assert [model.config.id2label[index] for index in range(3)] == NAMES and model.config.label2id["future"] == 2
    assert model.config.num_labels == 3 and "classifier" in audio_classifier.FAMILY.modules_to_save(model)
    assert model.dtype == torch.float32


def test_random_weights_differ_from_the_checkpoint(encoder: Path, recipe: Callable[..., Recipe]) -> None:
    loaded, _ = load_model(recipe(encoder), FEATURES, AUTO_CLASS)
    random, extractor = load_model(recipe(encoder, "model.init=random"), FEATURES, AUTO_CLASS)
    assert random.config.num_labels == 3 and extractor.sampling_rate == 16_000
    weights = zip(encoder_of(loaded).parameters(), encoder_of(random).parameters(), strict=True)
    assert not all(weight.equal(other) for weight, other in weights)


@pytest.mark.parametrize("names", [NAMES[::-1], ["a", "b", "c"], ["a", "b"]])
def test_trained_head_is_matched_by_label_name(names: list[str], tmp_path: Path, recipe: Callable[..., Recipe]) -> None:
    folder = save_audio_encoder("wav2vec2-layer", tmp_path / "trained")
    trained = AutoModelForAudioClassification.from_pretrained(
        folder, id2label=dict(enumerate(names)), label2id={name: index for index, name in enumerate(names)}
    )
    torch.nn.init.normal_(trained.classifier.bias)
    trained.save_pretrained(folder)
    set_seed(0)
    model, _ = load_model(recipe(folder), FEATURES, AUTO_CLASS)
    assert model.projector.weight.equal(trained.projector.weight)
    if sorted(names) == sorted(NAMES):
        order = [names.index(name) for name in NAMES]
        assert model.classifier.weight.equal(trained.classifier.weight[order])
        assert model.classifier.bias.equal(trained.classifier.bias[order])
    else:
        assert not model.classifier.weight[:2].equal(trained.classifier.weight[:2])
        assert model.classifier.bias.tolist() == [0, 0, 0]


def test_checkpoint_without_an_encoder_tensor_is_rejected(
    encoder: Path, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    folder = tmp_path / "partial"
    shutil.copytree(encoder, folder)
    weights = load_file(folder / "model.safetensors")
    del weights[
        next(name for name in weights if "layer.1." in name.replace("layers", "layer") and "decoder" not in name)
    ]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 tensors"):
        load_model(recipe(folder), FEATURES, AUTO_CLASS)


@pytest.mark.parametrize("train", ["all", "lora", "head"])
def test_every_trained_module_gets_a_gradient(train: Any, encoder: Path, recipe: Callable[..., Recipe]) -> None:
    model, extractor = load_model(recipe(encoder), FEATURES, AUTO_CLASS)
    if train == "head":
        train = audio_classifier.FAMILY.modules_to_save(model)
    task = AudioClassificationTask(model.config, extractor, AudioClassificationTask.Options())
    stage = Stage(name="s", trainable=train, num_train_epochs=1, learning_rate=1)
    tuned = trainable.set_trainable(model, stage, audio_classifier.FAMILY, [], "here").train()
    task.loss(tuned, task.collate([audio_row(index) for index in range(3)]), 3).backward()
    assert trainable.modules_without_gradient(tuned) == []
    assert any(parameter.grad is not None for parameter in tuned.parameters())


def test_saved_model_is_loaded_with_its_feature_extractor_alone(
    encoder: Path, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    parts = load_model(recipe(encoder), FEATURES, AUTO_CLASS)
    for part in parts:
        part.save_pretrained(tmp_path / "saved")
    assert not [path.name for path in (tmp_path / "saved").iterdir() if "token" in path.name]
    reloaded = load_saved(str(tmp_path / "saved"))
    assert [type(part) for part in reloaded] == [type(part) for part in parts]
    assert reloaded[1].to_dict() == parts[1].to_dict()


def test_whisper_window_cuts_positions_and_features(
    tiny_whisper: Path, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    model, extractor = load_model(recipe(tiny_whisper, "model.window_seconds=2"), FEATURES, AUTO_CLASS)
    whole, _ = load_model(recipe(tiny_whisper), FEATURES, AUTO_CLASS)
    assert model.config.max_source_positions == 100
    assert model.encoder.embed_positions.weight.equal(whole.encoder.embed_positions.weight[:100])
    features = extractor(samples(0), sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert features.shape == (1, 80, 200)
    model.save_pretrained(tmp_path / "cut")
    extractor.save_pretrained(tmp_path / "cut")
    reloaded = AutoModelForAudioClassification.from_pretrained(tmp_path / "cut")
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "cut").chunk_length == 2
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(features).logits, reloaded.eval()(features).logits)
    original, extractor = load_original(recipe(tiny_whisper, "model.window_seconds=2"), FEATURES, AUTO_CLASS)
    assert (original.config.max_source_positions, extractor.chunk_length) == (200, 4)
    random, _ = load_model(recipe(tiny_whisper, "model.window_seconds=2", "model.init=random"), FEATURES, AUTO_CLASS)
    assert random.encoder.embed_positions.weight.shape == (100, 16)


def test_window_of_another_encoder_is_rejected(tmp_path: Path, recipe: Callable[..., Recipe]) -> None:
    folder = save_audio_encoder("hubert-layer", tmp_path / "hubert")
    with pytest.raises(UserError, match=r"model\.window_seconds: only a Whisper encoder"):
        load_processor(recipe(folder, "model.window_seconds=2"), AUTO_CLASS)


def test_other_sampling_rate_is_rejected(tmp_path: Path, recipe: Callable[..., Recipe]) -> None:
    folder = save_audio_encoder("hubert-layer", tmp_path / "hubert")
    AutoFeatureExtractor.from_pretrained(folder, sampling_rate=8_000).save_pretrained(folder)
    with pytest.raises(UserError, match="takes audio at 8,000 Hz"):
        load_processor(recipe(folder), AUTO_CLASS)


def test_label_with_several_attributes_is_rejected(tiny_whisper: Path, recipe: Callable[..., Recipe]) -> None:
    features = Features({"label": label_feature({"tense": ["past", "present"], "person": ["1sg", "2sg"]})})
    with pytest.raises(UserError, match="needs one class per row"):
        load_model(recipe(tiny_whisper), features, AUTO_CLASS)
