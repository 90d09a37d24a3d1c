"""CTC models in the speech task: tiny random ones of every kind that hfmm supports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import pipeline, set_seed

from hfmm.data.common.audio import encode
from hfmm.errors import UserError
from hfmm.models import ctc
from hfmm.models.common.audio_inputs import num_frames
from hfmm.models.common.checkpoint import load_saved
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Model
from hfmm.run import run_recipe
from hfmm.tasks.speech_recognition import SpeechRecognitionTask

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONVOLUTIONS = {
    "conv_dim": (8, 8, 8), "conv_kernel": (10, 8, 4), "conv_stride": (5, 8, 4), "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
KINDS: dict[str, dict[str, Any]] = {
    "wav2vec2": CONVOLUTIONS | LAYER_NORM,
    "wav2vec2 with group norm": CONVOLUTIONS,
    "hubert": CONVOLUTIONS | LAYER_NORM,
    "wavlm": CONVOLUTIONS | LAYER_NORM,
    "unispeech": CONVOLUTIONS,
    "unispeech-sat": CONVOLUTIONS,
    "sew": CONVOLUTIONS | {"squeeze_factor": 2},
    "sew-d": CONVOLUTIONS | {"squeeze_factor": 2},
    "data2vec-audio": CONVOLUTIONS | {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2},
    "wav2vec2-conformer": CONVOLUTIONS,
    "wav2vec2-bert": {"feature_projection_input_dim": 160},
    "parakeet_ctc": {"pad_token_id": 0},
}
SAMPLES = (16_000, 30_000, 9_000, 22_222, 8_000, 12_345, 40_000, 16_001)


def save_checkpoint(kind: str, folder: Path) -> Path:
    """Save a model that was only pretrained: it has a feature extractor and no vocabulary."""
    model_type = kind.partition(" ")[0]
    sizes = {"encoder_config": SIZES | {"num_mel_bins": 80, "subsampling_conv_channels": 8}}
    config = transformers.AutoConfig.for_model(
        model_type, vocab_size=9, **(sizes if model_type == "parakeet_ctc" else SIZES), **KINDS[kind]
    )
    extractors = {
        "wav2vec2-bert": transformers.SeamlessM4TFeatureExtractor,
        "parakeet_ctc": transformers.ParakeetFeatureExtractor,
    }
    set_seed(0)
    transformers.AutoModelForCTC.from_config(config).save_pretrained(folder)
    extractors.get(model_type, transformers.Wav2Vec2FeatureExtractor)().save_pretrained(folder)
    return folder


def load(folder: Path, **options: Any) -> tuple[Any, Any]:
    options = {"vocabulary": LETTERS} | options
    config = transformers.AutoConfig.from_pretrained(folder)
    model_options = Model.model_validate({"checkpoint": str(folder)})
    checked = ctc.CTCOptions.model_validate(options)
    model, processor = ctc.FAMILY.load(str(folder), model_options, config, checked, None, "AutoModelForCTC")  # type: ignore[arg-type]
    return model.eval(), processor


def clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(count).astype(np.float32) for count in SAMPLES]


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return load(save_checkpoint(request.param, tmp_path_factory.mktemp("ctc")))


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("wav2vec2", tmp_path_factory.mktemp("wav2vec2"))


def test_batch_1_batch_8_and_the_pipeline_write_the_same(loaded: tuple[Any, Any], tmp_path: Path) -> None:
    model, processor = loaded
    transcriber = ctc.FAMILY.make_transcriber(model.config, processor)
    alone, together = (list(transcriber.transcribe(model, clips(), size)) for size in (1, 8))
    assert alone == together and len(set(alone)) > 1
    for part in loaded:
        part.save_pretrained(tmp_path)
    pipe = pipeline("automatic-speech-recognition", model=str(tmp_path))
    assert [pipe({"raw": clip, "sampling_rate": 16_000})["text"].strip() for clip in clips()] == alone
    _, reloaded = load_saved(str(tmp_path))
    assert type(reloaded) is type(processor) and reloaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()


def test_the_loss_is_the_sum_over_the_rows_where_padding_is_masked(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    transcriber = ctc.FAMILY.make_transcriber(model.config, processor)
    with torch.no_grad():
        losses = [
            float(transcriber.loss(model, transcriber.inputs(part) | transcriber.targets(["he works."] * len(part)), 0))
            for part in [clips(), *([clip] for clip in clips())]
        ]
    is_sum = losses[0] == pytest.approx(sum(losses[1:]), rel=1e-4)
    assert is_sum == ("attention_mask" in transcriber.inputs(clips()))


def test_the_number_of_frames_is_that_of_the_model(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    transcriber = ctc.FAMILY.make_transcriber(model.config, processor)
    with torch.no_grad():
        frames = [model(**transcriber.inputs([clip])).logits.shape[1] for clip in clips()]
    counted = [num_frames(model.config, processor.feature_extractor, count) for count in SAMPLES]
    # SEW squeezes pairs of frames, and drops the last of an odd number.
    assert all(
        0 <= count - frame <= (model.config.model_type in ("sew", "sew-d"))
        for count, frame in zip(counted, frames, strict=True)
    )


def test_lora_adapts_the_encoder_and_trains_the_head_in_full(loaded: tuple[Any, Any]) -> None:
    model, _ = loaded
    (head,) = ctc.FAMILY.modules_to_save(model)
    assert model.get_submodule(head).weight.shape[0] == len(LETTERS) + 3
    assert ctc.FAMILY.target_modules(model) and not any(head in name for name in ctc.FAMILY.target_modules(model))


def test_the_ctc_loss_is_that_of_all_paths(wav2vec2: Path) -> None:
    model, processor = load(wav2vec2)
    transcriber = ctc.FAMILY.make_transcriber(model.config, processor)
    clip, text = clips()[4][:1200], "go"
    batch = transcriber.inputs([clip]) | transcriber.targets([text])
    with torch.no_grad():
        loss = float(transcriber.loss(model, batch, 0))
        probabilities = model(**transcriber.inputs([clip])).logits[0].softmax(-1).double()
    states = [0, *(state for token in batch["labels"][0].tolist() for state in (token, 0))]
    forward = torch.zeros(len(states), dtype=torch.double)
    forward[:2] = probabilities[0, states[:2]]
    for frame in probabilities[1:]:  # the forward variables of Graves et al. 2006, written out
        previous = forward.clone()
        for index, state in enumerate(states):
            total = previous[index] + (previous[index - 1] if index else 0)
            if index > 1 and state and state != states[index - 2]:
                total = total + previous[index - 2]
            forward[index] = total * frame[state]
    assert loss == pytest.approx(-float(forward[-2:].sum().log()), rel=1e-4)


@pytest.mark.parametrize(
    ("vocabulary", "text", "expected"),
    [
        (LETTERS, "He works.", "he works"),
        (LETTERS.upper(), "don't  go", "DON'T GO"),
        (LETTERS.replace("'", ""), "don't-go", "dont go"),
        ("abcDEF.", "abcDEF.", "abcDEF."),
    ],
)
def test_a_transcript_is_spelled_as_the_vocabulary_allows(
    wav2vec2: Path, vocabulary: str, text: str, expected: str
) -> None:
    model, processor = load(wav2vec2, vocabulary=vocabulary)
    transcriber = ctc.FAMILY.make_transcriber(model.config, processor)
    assert transcriber.decode_labels(torch.tensor(transcriber.label_ids(text))) == expected


@pytest.mark.parametrize(
    ("num_samples", "text", "message"),
    [
        (100, "go", r"lasts 0\.006 s, and the model needs at least 0\.0"),
        (61 * 16_000, "go", r"lasts 61\.0 s, and the model reads at most 60 s: cut the clip"),
        (16_000, "3 cafés", r"cannot spell the transcript '3 cafés': it lacks 3 é\. Spell it out, or set model\.voca"),
        (1_600, "she sees all", r"needs 14 frames, and the clip of 0\.1 s has 9"),
    ],
)
def test_a_clip_that_cannot_have_its_transcript_is_refused(
    wav2vec2: Path, num_samples: int, text: str, message: str
) -> None:
    model, processor = load(wav2vec2)
    with pytest.raises(UserError, match=message):
        ctc.FAMILY.make_transcriber(model.config, processor).check(num_samples, text)


def test_a_checkpoint_without_a_vocabulary_says_which_key_to_set(wav2vec2: Path) -> None:
    with pytest.raises(UserError, match=r"A checkpoint that was only pretrained has none: set model\.vocabulary"):
        load(wav2vec2, vocabulary=None)


def test_options_of_a_decoder_are_refused(wav2vec2: Path) -> None:
    model, processor = load(wav2vec2)
    for options in ({"decoder_noise": 0.1}, {"ctc_weight": 0.5}):
        with pytest.raises(
            UserError, match=r"task\.(decoder_noise|ctc_weight): a 'wav2vec2' model is trained with CTC"
        ):
            SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(**options))


def test_a_spectrogram_is_masked_while_training_and_a_waveform_is_not(tmp_path: Path, wav2vec2: Path) -> None:
    row = {"id": "0", "audio": encode(clips()[0]), "text": "go", "group": "0"}
    options = SpeechRecognitionTask.Options(augment_prob=0)
    for folder, is_masked in ((save_checkpoint("parakeet_ctc", tmp_path), True), (wav2vec2, False)):
        model, processor = load(folder)
        task = SpeechRecognitionTask(model.config, processor, options)
        plain, drawn = (task.collate([row | draw])[model.main_input_name] for draw in ({}, {"draw": 1}))
        assert torch.equal(plain, drawn) != is_masked


def test_a_ctc_model_runs_from_data_to_verification(tmp_path: Path, wav2vec2: Path, hfmm: Callable[..., Any]) -> None:
    lines = ["file_name,transcript"]
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        (tmp_path / "data" / split).mkdir(parents=True)
        for index in range(count):
            (tmp_path / "data" / split / f"{index}.wav").write_bytes(encode(clips()[index % 8])["bytes"])
            lines.append(f"{split}/{index}.wav,He works {'abcd'[index % 4]}.")
    (tmp_path / "data" / "metadata.csv").write_text("\n".join(lines))
    recipe = tmp_path / "ctc.yaml"
    recipe.write_text(
        "name: letters\ntask: speech_recognition\n"
        f"data: {{builder: folder, path: {tmp_path / 'data'}, columns: {{text: transcript}}}}\n"
        f'model: {{checkpoint: {wav2vec2}, vocabulary: "{LETTERS}"}}\n'
        "stages:\n"
        "  - {name: head, trainable: [lm_head], num_train_epochs: 1, learning_rate: 1.0e-2}\n"
        "  - {name: full, trainable: lora, num_train_epochs: 1, learning_rate: 1.0e-3}\n"
        "metrics: [cer, wer]\nbaselines: [pretrained]\n"
    )
    run = run_recipe(load_recipe(str(recipe)), tmp_path / "run", resume=False, report=lambda step, text: None)
    results = run.read_results()
    assert results["verified"]["predictions"] == 4 and results["verified"]["snippet"]
    assert "chunk_length_s" not in (run.model / "README.md").read_text()
    heard = hfmm("evaluate", run.model, "--data", tmp_path / "data", "--column", "text=transcript")
    assert heard.returncode == 0 and "cer" in heard.stdout, heard.stderr
    assert hfmm("predict", run.model, tmp_path / "data/test/0.wav").returncode == 0
    assert load_saved(str(run.model))[0].lm_head.out_features == len(LETTERS) + 3
