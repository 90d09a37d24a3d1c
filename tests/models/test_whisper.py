import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Features
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from hfmm.errors import UserError
from hfmm.models import whisper
from hfmm.models.common.seq2seq_transcriber import max_label_tokens
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe
from hfmm.training import trainable
from tests.loading import load_model, load_original


@pytest.fixture
def recipe(tiny_whisper: Path, tmp_path: Path) -> Callable[..., Recipe]:
    def write(*overrides: str, checkpoint: Path = tiny_whisper) -> Recipe:
        path = tmp_path / "speech.yaml"
        path.write_text(
            "name: speech\ntask: speech_recognition\ndata: {builder: spoken_verbs}\n"
            f"model: {{checkpoint: {checkpoint}}}\n"
            "stages: [{name: full, trainable: all, num_train_epochs: 1, learning_rate: 1.0e-3}]\nmetrics: [wer]\n"
        )
        return load_recipe(str(path), overrides)

    return write


def load(recipe: Recipe) -> tuple[Any, Any]:
    return load_model(recipe, Features(), whisper.AUTO_CLASS)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(round(16_000 * seconds)).astype(np.float32) / 10


def test_window_seconds_sets_positions_and_feature_extractor(recipe: Callable[..., Recipe]) -> None:
    model, processor = load(recipe("model.window_seconds=2"))
    assert model.config.max_source_positions == 100
    features = processor.feature_extractor(noise(1), sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert features.shape == (1, 80, 200)
    assert model.get_encoder()(features).last_hidden_state.shape == (1, 100, 16)


def test_saved_model_with_a_short_window_loads_with_equal_logits(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    model, processor = load(recipe("model.window_seconds=2"))
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    loaded = WhisperForConditionalGeneration.from_pretrained(tmp_path / "model").eval()
    extractor = WhisperProcessor.from_pretrained(tmp_path / "model").feature_extractor
    inputs = extractor(noise(2), sampling_rate=16_000, return_tensors="pt")
    start = torch.tensor([[model.config.decoder_start_token_id]])
    with torch.no_grad():
        expected = model.eval()(**inputs, decoder_input_ids=start).logits
        logits = loaded(**inputs, decoder_input_ids=start).logits
    torch.testing.assert_close(expected, logits)
    config = loaded.generation_config
    assert (extractor.chunk_length, config.max_length, config.num_beams) == (2, 28, 1)


def test_shorter_window_keeps_the_first_positions(recipe: Callable[..., Recipe], tiny_whisper: Path) -> None:
    short, original = load(recipe("model.window_seconds=1"))[0], load(recipe())[0]
    positions, expected = (model.get_encoder().embed_positions.weight for model in (short, original))
    torch.testing.assert_close(positions, expected[:50])


def test_longer_window_appends_sinusoids(recipe: Callable[..., Recipe]) -> None:
    model, processor = load(recipe("model.window_seconds=6"))
    positions = model.get_encoder().embed_positions.weight
    expected = WhisperForConditionalGeneration(model.config).get_encoder().embed_positions.weight
    assert not positions.requires_grad and positions.shape == (300, 16)
    torch.testing.assert_close(positions, expected)
    features = processor.feature_extractor(noise(6), sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert model.get_encoder()(features).last_hidden_state.shape == (1, 300, 16)


def test_positions_are_never_trained(recipe: Callable[..., Recipe]) -> None:
    for modules in ("all", ["model.encoder"]):
        short = recipe("model.window_seconds=2")
        stage = short.stages[0].model_copy(update={"trainable": modules})
        model = trainable.set_trainable(load(short)[0], stage, whisper.FAMILY, [], "key")
        frozen = [name for name, weight in model.get_encoder().named_parameters() if not weight.requires_grad]
        assert frozen == ["embed_positions.weight"]


def test_original_checkpoint_keeps_its_window(recipe: Callable[..., Recipe]) -> None:
    model, processor = load_original(recipe("model.window_seconds=1"), Features(), whisper.AUTO_CLASS)
    assert (model.config.max_source_positions, processor.feature_extractor.chunk_length) == (200, 4)


def test_labels_have_start_token_leading_space_and_end_token(
    recipe: Callable[..., Recipe],
) -> None:
    model, processor = load(recipe())
    ids = whisper.FAMILY.make_transcriber(model.config, processor).label_ids("He works.")
    tokens = processor.tokenizer.convert_ids_to_tokens(ids)
    assert tokens[:4] == ["<|startoftranscript|>", "<|notimestamps|>", "Ġ", "H"]
    assert tokens[-1] == "<|endoftext|>"
    assert ids[0] == model.config.decoder_start_token_id


def test_multilingual_checkpoint_saves_language_and_task(
    recipe: Callable[..., Recipe], tiny_multilingual_whisper: Path, tmp_path: Path
) -> None:
    model, processor = load(recipe("model.language=de", checkpoint=tiny_multilingual_whisper))
    assert (model.generation_config.language, model.generation_config.task) == ("de", "transcribe")
    processor.save_pretrained(tmp_path)
    for tokenizer in (processor.tokenizer, WhisperProcessor.from_pretrained(tmp_path).tokenizer):
        reloaded = SimpleNamespace(feature_extractor=processor.feature_extractor, tokenizer=tokenizer)
        ids = whisper.FAMILY.make_transcriber(model.config, reloaded).label_ids("Ja")
        tokens = tokenizer.convert_ids_to_tokens(ids)
        assert tokens[:4] == ["<|startoftranscript|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]
    with pytest.raises(UserError, match=r"model\.language: Unsupported language: klingon"):
        load(recipe("model.language=klingon", checkpoint=tiny_multilingual_whisper))


@pytest.mark.parametrize("multilingual", [False, True])
def test_missing_generation_config_is_completed_from_the_vocabulary(
    multilingual: bool,
    recipe: Callable[..., Recipe],
    tiny_whisper: Path,
    tiny_multilingual_whisper: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tiny_multilingual_whisper if multilingual else tiny_whisper
    shutil.copytree(source, tmp_path / "old", ignore=shutil.ignore_patterns("generation_config.json"))
    monkeypatch.setattr(
        whisper, "MULTILINGUAL_VOCAB_SIZE", len(WhisperProcessor.from_pretrained(source).tokenizer) + (not multilingual)
    )
    model, processor = load(recipe(checkpoint=tmp_path / "old"))
    features = processor.feature_extractor(noise(1), sampling_rate=16_000, return_tensors="pt")["input_features"]
    ids = model.eval().generate(features, return_dict_in_generate=True)["sequences"][0]
    prefix = ["<|startoftranscript|>", *(["<|en|>", "<|transcribe|>"] if multilingual else [])]
    assert processor.tokenizer.convert_ids_to_tokens(ids)[: len(prefix)] == prefix
    assert model.generation_config.is_multilingual is multilingual
    assert len(whisper.FAMILY.make_transcriber(model.config, processor).label_ids("a")) == 5 + 2 * multilingual


def test_generation_reaches_the_maximum_number_of_label_tokens(recipe: Callable[..., Recipe]) -> None:
    model, processor = load(recipe("model.window_seconds=1"))
    max_tokens = max_label_tokens(model.config, processor)
    features = processor.feature_extractor(noise(1), sampling_rate=16_000, return_tensors="pt")["input_features"]
    model.generation_config.suppress_tokens = [model.config.eos_token_id]  # so that generation does not end early
    ids = model.eval().generate(features, return_dict_in_generate=True)["sequences"][0]
    assert max_tokens == 16 and len(ids) >= max_tokens


def test_lora_targets_are_linear_layers_without_the_output(
    recipe: Callable[..., Recipe],
) -> None:
    model, _ = load(recipe())
    targets = whisper.FAMILY.target_modules(model)
    assert "model.encoder.layers.0.self_attn.q_proj" in targets and "model.decoder.layers.1.fc2" in targets
    assert not [name for name in targets if "proj_out" in name]
