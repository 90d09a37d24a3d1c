from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

from hfmm.data.common.audio import AUDIO_FEATURE, SAMPLE_RATE
from hfmm.errors import UserError
from hfmm.evaluation.user_data import evaluate_on_rows
from hfmm.models import audio_classifier
from hfmm.models.common.audio_inputs import ignores_padding
from hfmm.tasks.audio_classification import AudioClassificationTask
from tests.audio_encoders import KINDS, SECONDS, audio_row, samples, save_audio_encoder

NAMES = ["a", "b", "c"]
OTHER_KINDS = ("sew", "sew-d", "unispeech", "unispeech-sat", "wav2vec2-conformer", "wavlm", "data2vec-audio")


def load(folder: Path) -> tuple[Any, AudioClassificationTask]:
    """Return the model with random weights large enough that clips differ, and its task."""
    labels = {"id2label": dict(enumerate(NAMES)), "label2id": {name: index for index, name in enumerate(NAMES)}}
    model = AutoModelForAudioClassification.from_pretrained(folder, **labels).eval()
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dim() > 1:
            parameter.data *= 4
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    if getattr(model.config, "feat_extract_norm", "") == "layer":
        extractor.return_attention_mask = True
    return model, AudioClassificationTask(model.config, extractor, AudioClassificationTask.Options())


@pytest.fixture(params=["whisper", *KINDS])
def encoder(request: pytest.FixtureRequest, tmp_path: Path, tiny_whisper: Path) -> Path:
    return tiny_whisper if request.param == "whisper" else save_audio_encoder(request.param, tmp_path / "encoder")


def test_loss_equals_its_definition(encoder: Path) -> None:
    model, task = load(encoder)
    rows = [audio_row(index) for index in range(4)]
    batch = task.collate(rows)
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits.tolist()
    if ignores_padding(model.config):  # each clip alone has the same logits
        alone = [task.processor(samples(index), sampling_rate=SAMPLE_RATE, return_tensors="pt") for index in range(4)]
        logits = [model(**inputs).logits[0].tolist() for inputs in alone]
    expected = 0.0
    for row, values in zip(rows, logits, strict=True):
        expected += math.log(sum(math.exp(value) for value in values)) - values[row["label"]]
    assert task.loss(model, batch, 4).item() == pytest.approx(expected / 4, rel=1e-4)
    assert task.num_items(batch) == 4


def test_prediction_does_not_depend_on_the_batch_size(encoder: Path) -> None:
    model, task = load(encoder)
    rows = [audio_row(index) for index in range(8)]
    single, batched = (list(task.predict(model, rows, batch_size)) for batch_size in (1, 8))
    scores = [prediction["score"][0] for prediction in single]
    assert max(scores) - min(scores) > 1e-3  # clips differ by more than the tolerance below
    assert [prediction["prediction"] for prediction in batched] == [prediction["prediction"] for prediction in single]
    assert [prediction["score"][0] for prediction in batched] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("kind", [f"{kind}-layer" for kind in ("wav2vec2", "hubert")])
def test_mask_hides_the_padding_that_would_change_the_logits(kind: str, tmp_path: Path) -> None:
    model, task = load(save_audio_encoder(kind, tmp_path))
    batch = task.batcher([audio_row(index) for index in range(8)])
    with torch.no_grad():
        masked, unmasked = model(**batch).logits, model(batch["input_values"]).logits
    assert float((masked - unmasked).abs().max()) > 1e-3


@pytest.mark.parametrize("model_type", OTHER_KINDS)
def test_padding_rule_of_other_encoders_is_true(model_type: str) -> None:
    from transformers import AutoConfig

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    convolutions = {"conv_dim": (16, 16), "conv_kernel": (10, 4), "conv_stride": (10, 8), "num_feat_extract_layers": 2}
    config = AutoConfig.for_model(
        model_type, **sizes, **convolutions, feat_extract_norm="layer", num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, classifier_proj_size=8, num_labels=3,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForAudioClassification.from_config(config).eval()
    for parameter in model.parameters():
        parameter.data *= 2 if parameter.dim() > 1 else 1
    clips = [torch.from_numpy(samples(index)) for index in range(4)]
    length = max(map(len, clips))
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    mask = torch.tensor([[1] * len(clip) + [0] * (length - len(clip)) for clip in clips])
    with torch.no_grad():
        together = model(padded, attention_mask=mask).logits
        alone = torch.cat([model(clip[None]).logits for clip in clips])
    assert ignores_padding(config) == bool((together - alone).abs().max() < 1e-5)
    config.feat_extract_norm = "group"
    assert not ignores_padding(config)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_pipeline_gives_the_same_predictions(batch_size: int, encoder: Path) -> None:
    model, task = load(encoder)
    pipe = pipeline(task.pipeline_tag, model=model, feature_extractor=task.processor)
    inputs = [{"raw": samples(index), "sampling_rate": SAMPLE_RATE} for index in range(8)]
    outputs = pipe(inputs, **{"batch_size": batch_size, **task.pipeline_kwargs([])})
    expected = list(task.predict(model, [audio_row(index) for index in range(8)], 8))
    for output, prediction in zip(outputs, expected, strict=True):
        parsed = task.parse_pipeline_output(output)
        assert parsed["prediction"] == prediction["prediction"]
        assert parsed["score"] == pytest.approx(prediction["score"], abs=1e-5)


def test_accumulated_gradient_equals_that_of_the_whole_batch(tmp_path: Path) -> None:
    model, task = load(save_audio_encoder("wav2vec2-layer", tmp_path))
    rows = [audio_row(index) for index in range(6)]
    task.loss(model, task.collate(rows), 6).backward()
    whole = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    for start in range(0, 6, 2):
        task.loss(model, task.collate(rows[start : start + 2]), 6).backward()
    for name, parameter in model.named_parameters():
        if name in whole:
            torch.testing.assert_close(parameter.grad, whole[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "seconds", "message"),
    [
        ("whisper", 5.0, "lasts 5.0 s, and the model reads at most 4 s"),
        ("audio-spectrogram-transformer", 2.0, "reads at most 1.5 s"),
        ("wav2vec2-layer", 0.0001, r"needs at least 0.003 s"),
    ],
)
def test_clip_that_does_not_fit_is_rejected(
    kind: str, seconds: float, message: str, tmp_path: Path, tiny_whisper: Path
) -> None:
    import numpy as np

    from hfmm.data.common.audio import encode

    model, task = load(tiny_whisper if kind == "whisper" else save_audio_encoder(kind, tmp_path))
    features = Features({"label": ClassLabel(names=NAMES)})
    validate = task.make_row_validator(audio_classifier.FAMILY, model.config, task.processor, features)
    validate(audio_row(0))
    clip = (0.1 * np.random.default_rng(0).standard_normal(max(2, round(SAMPLE_RATE * seconds)))).astype(np.float32)
    with pytest.raises(UserError, match=message):
        validate(audio_row(0, audio=encode(clip)))
    with pytest.raises(UserError, match=f"row 0: .*{message}"):
        list(task.predict(model, [audio_row(0, audio=encode(clip))], 1))


@pytest.mark.parametrize("label", [None, -1, 3])
def test_row_without_a_class_is_rejected(label: int | None, tiny_whisper: Path) -> None:
    model, task = load(tiny_whisper)
    features = Features({"label": ClassLabel(names=NAMES)})
    validate = task.make_row_validator(audio_classifier.FAMILY, model.config, task.processor, features)
    with pytest.raises(UserError, match=f"the label {label} is not one of the 3 classes"):
        validate(audio_row(0, label=label))


def test_labels_of_other_rows_are_matched_by_name(tmp_path: Path) -> None:
    model, task = load(save_audio_encoder("wav2vec2-layer", tmp_path))
    model.save_pretrained(tmp_path)
    task.processor.save_pretrained(tmp_path)
    rows = [audio_row(index) for index in range(8)]
    predicted = [prediction["prediction"][0] for prediction in task.predict(model, rows, 8)]
    other_names = ["c", "a", "b"]
    for row, name in zip(rows, predicted, strict=True):
        row["label"] = other_names.index(name)
    struct = {"bytes": Value("binary"), "path": Value("string")}
    kinds = {"id": Value("string"), "audio": struct, "label": ClassLabel(names=other_names), "group": Value("string")}
    data = Dataset.from_list(rows, features=Features(kinds)).cast_column("audio", AUDIO_FEATURE)
    records, _ = evaluate_on_rows(tmp_path, data)
    assert [(record["metric"], record["value"]) for record in records] == [("accuracy", 1.0)]


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2-group"])
def test_run_on_a_folder_of_clips_is_verified(
    kind: str, hfmm: Callable[..., Any], write_recipe: Callable[..., Path], tiny_whisper: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    names = [f"{index}.flac" for index in range(len(SECONDS) * 3)]
    for index, name in enumerate(names):
        (folder / name).write_bytes(audio_row(index)["audio"]["bytes"])
    lines = [f"{name},{('yes', 'no')[index % 2]}" for index, name in enumerate(names)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,word", *lines]) + "\n")
    checkpoint = tiny_whisper if kind == "whisper" else save_audio_encoder(kind, tmp_path / "encoder")
    changes = ["task=audio_classification", f"data={{builder: folder, path: {folder}, columns: {{label: word}}}}"]
    changes += ["baselines=[majority_class]", "metrics=[accuracy, confusion]"]
    if kind == "whisper":
        changes += ["model.window_seconds=2"]
    stage = "num_train_epochs: 1, learning_rate: 1.0e-3, per_device_train_batch_size: 4"
    head = "{name: head, trainable: [projector, classifier], %s}" % stage  # noqa: UP031
    changes += [f"stages=[{head}, {{name: full, trainable: lora, {stage}}}]"]
    sets = [argument for change in changes for argument in ("--set", change)]
    completed = hfmm("run", write_recipe(checkpoint), "--out", "out", *sets)
    assert completed.returncode == 0, completed.stderr
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["verified"]["snippet"] and results["verified"]["predictions"] == results["data"]["rows"]["test"]
    assert {record["baseline"] for record in results["records"]} == {"", "majority class"}
    assert (tmp_path / "out/model/confusion.png").is_file()
    card = (tmp_path / "out/model/README.md").read_text()
    assert '<audio controls src="example.wav"></audio>' in card and "pipeline_tag: audio-classification" in card
    predicted = json.loads(hfmm("predict", "out/model", "out/model/example.wav").stdout)
    assert f"{predicted['score'][0]:.2f} {predicted['prediction'][0]}" in card
