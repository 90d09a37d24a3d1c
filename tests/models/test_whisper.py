import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Features
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from hfmm.errors import UserError
from hfmm.models import whisper
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


def sound(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(round(16_000 * seconds)).astype(np.float32) / 10


def test_the_window_cuts_positions_and_feature_extractor_together(recipe: Callable[..., Recipe]) -> None:
    model, processor = load(recipe("model.window_seconds=2"))
    assert model.config.max_source_positions == 100
    features = processor.feature_extractor(sound(1), sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert features.shape == (1, 80, 200)
    assert model.get_encoder()(features).last_hidden_state.shape == (1, 100, 16)


def test_a_cut_model_is_a_native_folder_that_gives_the_same_logits(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    model, processor = load(recipe("model.window_seconds=2"))
    model.save_pretrained(tmp_path / "cut")
    processor.save_pretrained(tmp_path / "cut")
    again = WhisperForConditionalGeneration.from_pretrained(tmp_path / "cut").eval()
    extractor = WhisperProcessor.from_pretrained(tmp_path / "cut").feature_extractor
    inputs = extractor(sound(2), sampling_rate=16_000, return_tensors="pt")
    start = torch.tensor([[model.config.decoder_start_token_id]])
    with torch.no_grad():
        one, other = (each(**inputs, decoder_input_ids=start).logits for each in (model.eval(), again))
    torch.testing.assert_close(one, other)
    assert (extractor.chunk_length, again.generation_config.max_length, again.generation_config.num_beams) == (2, 28, 1)


def test_positions_of_the_window_are_the_first_of_the_checkpoint(
    recipe: Callable[..., Recipe], tiny_whisper: Path
) -> None:
    cut, whole = load(recipe("model.window_seconds=1"))[0], load(recipe())[0]
    ours, theirs = (one.get_encoder().embed_positions.weight for one in (cut, whole))
    torch.testing.assert_close(ours, theirs[:50])


def test_a_wider_window_goes_on_with_the_same_sinusoids(recipe: Callable[..., Recipe]) -> None:
    model, processor = load(recipe("model.window_seconds=6"))
    positions = model.get_encoder().embed_positions.weight
    fresh = WhisperForConditionalGeneration(model.config).get_encoder().embed_positions.weight
    assert not positions.requires_grad and positions.shape == (300, 16)
    torch.testing.assert_close(positions, fresh)
    features = processor.feature_extractor(sound(6), sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert model.get_encoder()(features).last_hidden_state.shape == (1, 300, 16)


def test_positions_never_train_whatever_a_stage_names(recipe: Callable[..., Recipe]) -> None:
    for train in ("all", ["model.encoder"]):
        spec = recipe("model.window_seconds=2")
        stage = spec.stages[0].model_copy(update={"trainable": train})
        model = trainable.set_trainable(load(spec)[0], stage, whisper.FAMILY, [], "here")
        frozen = [name for name, one in model.get_encoder().named_parameters() if not one.requires_grad]
        assert frozen == ["embed_positions.weight"]


def test_the_untouched_checkpoint_keeps_its_own_window(recipe: Callable[..., Recipe]) -> None:
    model, processor = load_original(recipe("model.window_seconds=1"), Features(), whisper.AUTO_CLASS)
    assert (model.config.max_source_positions, processor.feature_extractor.chunk_length) == (200, 4)


def test_labels_begin_with_the_start_token_and_a_space_and_end_with_the_end_token(
    recipe: Callable[..., Recipe],
) -> None:
    model, processor = load(recipe())
    ids = whisper.FAMILY.label_ids(model.config, processor.tokenizer, "He works.")
    tokens = processor.tokenizer.convert_ids_to_tokens(ids)
    assert tokens[:4] == ["<|startoftranscript|>", "<|notimestamps|>", "Ġ", "H"]
    assert tokens[-1] == "<|endoftext|>"
    assert ids[0] == model.config.decoder_start_token_id


def test_a_multilingual_checkpoint_is_told_language_and_task_and_keeps_them(
    recipe: Callable[..., Recipe], tiny_multilingual_whisper: Path, tmp_path: Path
) -> None:
    model, both = load(recipe("model.language=de", checkpoint=tiny_multilingual_whisper))
    assert (model.generation_config.language, model.generation_config.task) == ("de", "transcribe")
    both.save_pretrained(tmp_path)
    for tokenizer in (both.tokenizer, WhisperProcessor.from_pretrained(tmp_path).tokenizer):
        tokens = tokenizer.convert_ids_to_tokens(whisper.FAMILY.label_ids(model.config, tokenizer, "Ja"))
        assert tokens[:4] == ["<|startoftranscript|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]
    with pytest.raises(UserError, match=r"model\.language: Unsupported language: klingon"):
        load(recipe("model.language=klingon", checkpoint=tiny_multilingual_whisper))


@pytest.mark.parametrize("languages", [False, True])
def test_a_checkpoint_without_generation_settings_decodes_as_its_config_and_vocabulary_say(
    languages: bool, recipe: Callable[..., Recipe], tiny_whisper: Path, tiny_multilingual_whisper: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    whole = tiny_multilingual_whisper if languages else tiny_whisper
    shutil.copytree(whole, tmp_path / "old", ignore=shutil.ignore_patterns("generation_config.json"))
    monkeypatch.setattr(
        whisper, "MULTILINGUAL_VOCAB_SIZE", len(WhisperProcessor.from_pretrained(whole).tokenizer) + (not languages)
    )
    model, processor = load(recipe(checkpoint=tmp_path / "old"))
    features = processor.feature_extractor(sound(1), sampling_rate=16_000, return_tensors="pt")["input_features"]
    written = model.eval().generate(features, return_dict_in_generate=True)["sequences"][0]
    begin = ["<|startoftranscript|>", *(["<|en|>", "<|transcribe|>"] if languages else [])]
    assert processor.tokenizer.convert_ids_to_tokens(written)[: len(begin)] == begin
    assert model.generation_config.is_multilingual is languages
    assert len(whisper.FAMILY.label_ids(model.config, processor.tokenizer, "a")) == 5 + 2 * languages


def test_as_many_tokens_as_are_promised_of_a_window_are_written(recipe: Callable[..., Recipe]) -> None:
    model, processor = load(recipe("model.window_seconds=1"))
    longest = whisper.FAMILY.max_label_tokens(model.config, processor)
    features = processor.feature_extractor(sound(1), sampling_rate=16_000, return_tensors="pt")["input_features"]
    model.generation_config.suppress_tokens = [model.config.eos_token_id]  # so that it never ends by itself
    written = model.eval().generate(features, return_dict_in_generate=True)["sequences"][0]
    assert longest == 16 and len(written) >= longest


def test_lora_targets_are_the_linear_layers_of_both_halves_and_not_the_output(
    recipe: Callable[..., Recipe],
) -> None:
    model, _ = load(recipe())
    targets = whisper.FAMILY.target_modules(model)
    assert "model.encoder.layers.0.self_attn.q_proj" in targets and "model.decoder.layers.1.fc2" in targets
    assert not [name for name in targets if "proj_out" in name]
