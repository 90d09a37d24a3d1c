import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline

from hfmm.data.common.audio import SAMPLE_RATE, encode
from hfmm.errors import UserError
from hfmm.metrics import verb_form
from hfmm.models import whisper
from hfmm.models.common.seq2seq_transcriber import ctc_loss
from hfmm.tasks import collect_references, speech_recognition
from hfmm.tasks.speech_recognition import IGNORE_INDEX, SpeechRecognitionTask


@pytest.fixture(scope="module")
def model(tiny_whisper: Path) -> Any:
    return WhisperForConditionalGeneration.from_pretrained(tiny_whisper).eval()


@pytest.fixture(scope="module")
def processor(tiny_whisper: Path) -> Any:
    return WhisperProcessor.from_pretrained(tiny_whisper)


@pytest.fixture
def task(model: Any, processor: Any) -> SpeechRecognitionTask:
    return SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options())


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal(round(SAMPLE_RATE * seconds)).astype(np.float32)


def row(index: int = 0, seconds: float = 1.0, text: str = "He works.", **columns: Any) -> dict[str, Any]:
    audio = encode(noise(seconds, index))
    return {"id": str(index), "audio": audio, "text": text, "group": "work/present/3sg"} | columns


def test_labels_are_the_next_decoder_tokens(task: SpeechRecognitionTask) -> None:
    batch = task.collate([row(0), row(1, text="I go.")])
    assert batch["input_features"].shape == (2, 80, 400)
    assert batch["labels"].shape == batch["decoder_input_ids"].shape
    shorter = batch["labels"][1]
    count = int((shorter != IGNORE_INDEX).sum())
    assert batch["decoder_input_ids"][1, 1:count].tolist() == shorter[: count - 1].tolist()
    assert task.num_items(batch) == int((batch["labels"] != IGNORE_INDEX).sum())


def test_loss_equals_the_model_loss_and_is_independent_of_batch_size(task: SpeechRecognitionTask, model: Any) -> None:
    rows = [row(index, text=text) for index, text in enumerate(("He works.", "I go.", "You have written.", "I am."))]
    batch = task.collate(rows)
    items = task.num_items(batch)
    with torch.no_grad():
        loss = task.loss(model, batch, items)
        sum_of_losses = sum(task.loss(model, task.collate(rows[index : index + 1]), items) for index in range(4))
        model_loss = model(**batch).loss
    torch.testing.assert_close(loss, model_loss)
    torch.testing.assert_close(loss, sum_of_losses)


def test_ctc_weight_adds_the_ctc_loss_of_the_encoder(task: SpeechRecognitionTask, model: Any, processor: Any) -> None:
    mixed = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(ctc_weight=0.25))
    batch = mixed.collate([row(0), row(1, text="I go.")])
    items = mixed.num_items(batch)
    with torch.no_grad():
        states = model.get_encoder()(batch["input_features"]).last_hidden_state
        ctc = ctc_loss(model.proj_out(states), batch["labels"], model.config.eos_token_id) / items
        expected = 0.75 * task.loss(model, batch, items) + 0.25 * ctc
        torch.testing.assert_close(mixed.loss(model, batch, items), expected)
    ctc_only = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(ctc_weight=1))
    assert ctc_only.loss(model, batch, items).item() == pytest.approx(ctc)


def test_loss_is_equal_for_a_wrapped_model(model: Any, processor: Any) -> None:
    task = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(ctc_weight=0.5))
    batch = task.collate([row()])
    wrapped = torch.nn.DataParallel(model)
    with torch.no_grad():
        assert task.loss(wrapped, batch, 1).equal(task.loss(model, batch, 1))


def test_augmentation_differs_by_epoch_and_is_off_in_evaluation(task: SpeechRecognitionTask) -> None:
    def features(**columns: Any) -> torch.Tensor:
        input_features: torch.Tensor = task.collate([row(**columns)])["input_features"]
        return input_features

    by_epoch = [features(draw=f"0/{epoch}") for epoch in range(4)]
    assert not any(by_epoch[0].equal(other) for other in by_epoch[1:])
    assert features(draw="0/1").equal(by_epoch[1])
    assert features().equal(features())


def test_clip_too_long_after_augmentation_is_not_augmented(
    model: Any, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = SpeechRecognitionTask(
        model.config, processor, SpeechRecognitionTask.Options(augment_prob=1, spec_augment=False)
    )
    plain = task.collate([row()])["input_features"]
    monkeypatch.setattr(
        speech_recognition, "augment", lambda clip, rng: np.tile(clip, 1 + task.transcriber.window // len(clip))
    )
    assert task.collate([row(draw="0/0")])["input_features"].equal(plain)


def test_decoder_noise_replaces_input_tokens_but_never_labels(model: Any, processor: Any) -> None:
    plain = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options())
    task = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(decoder_noise=0.5))
    rows = [row(index, text="For him to have written it.", draw="0/0") for index in range(20)]
    original, batch = plain.collate(rows), task.collate(rows)
    is_text = original["decoder_input_ids"] < model.config.eos_token_id
    is_replaced = original["decoder_input_ids"] != batch["decoder_input_ids"]
    assert not is_replaced[~is_text].any()
    assert 0.4 < is_replaced[is_text].float().mean() < 0.6
    assert batch["labels"].equal(original["labels"])
    assert batch["decoder_input_ids"].equal(task.collate(rows)["decoder_input_ids"])
    next_epoch = task.collate([train_row | {"draw": "0/1"} for train_row in rows])
    assert not batch["decoder_input_ids"].equal(next_epoch["decoder_input_ids"])
    test_rows = [row(index, text="For him to have written it.") for index in range(20)]
    assert task.collate(test_rows)["decoder_input_ids"].equal(plain.collate(test_rows)["decoder_input_ids"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": " "}, "transcript is empty"),
        ({"text": "a" * 50}, r"'aaa.*' has 54 tokens, and a window of 4 s has room for 52: cut"),
        ({"audio": encode(noise(5))}, r"lasts 5\.0 s, and the model reads 4 s at a time: cut it"),
        ({"audio": {"bytes": b"", "path": "clips/one.wav"}}, r"one\.wav is empty"),
        ({"audio": encode(np.zeros(SAMPLE_RATE, dtype=np.float32))}, "silent"),
    ],
)
def test_validator_rejects_invalid_rows(model: Any, processor: Any, change: dict[str, Any], message: str) -> None:
    validate = SpeechRecognitionTask.make_row_validator(whisper.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    validate(row())
    with pytest.raises(UserError, match=message):
        validate(row() | change)


def test_readings_of_an_ambiguous_form_follow_the_group(task: SpeechRecognitionTask) -> None:
    rows = Dataset.from_list(
        [{"text": "You put.", "group": "put/past/2sg"}, {"text": "You put.", "group": "my clip 7"}]
    )
    in_grid, other = collect_references(task, rows, [verb_form])
    assert {(reading["tense"], reading["person"]) for reading in in_grid["readings"]} == {("past", "2sg")}
    assert len(other["readings"]) > 1


@pytest.mark.parametrize("batch_size", [1, 8])
def test_pipeline_equals_predict(task: SpeechRecognitionTask, model: Any, processor: Any, batch_size: int) -> None:
    rows = [row(index, seconds=0.5 + 0.3 * index) for index in range(8)]
    model.generation_config.max_length, model.generation_config.num_beams = 24, 1
    pipe = pipeline(
        "automatic-speech-recognition", model=model, tokenizer=processor.tokenizer,
        feature_extractor=processor.feature_extractor,
    )  # fmt: skip
    inputs = [{"raw": noise(0.5 + 0.3 * index, index), "sampling_rate": SAMPLE_RATE} for index in range(8)]
    predictions = [task.parse_pipeline_output(output) for output in pipe(inputs, batch_size=batch_size)]
    assert predictions == list(task.predict(model, rows, batch_size))


def test_run_trains_and_verifies_a_whisper(
    hfmm: Callable[..., Any], write_recipe: Callable[..., Path], tiny_whisper: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    texts = ("He works.", "I go.", "You have written.")
    names = [f"{index}.flac" for index in range(12)]
    for index, name in enumerate(names):
        (clips / name).write_bytes(encode(noise(1, index))["bytes"])
    lines = [f"{name},{texts[index % 3]}" for index, name in enumerate(names)]
    (clips / "metadata.csv").write_text("\n".join(["file_name,transcript", *lines]) + "\n")
    changes = ["task=speech_recognition", f"data={{builder: folder, path: {clips}, columns: {{text: transcript}}}}"]
    changes += ["model.window_seconds=2", "metrics=[wer, cer, verb_form]", "baselines=[pretrained]"]
    stage = "{name: full, trainable: lora, num_train_epochs: 1, learning_rate: 1.0e-3, per_device_train_batch_size: 4}"
    changes += [f"stages=[{stage}]"]
    options = [word for change in changes for word in ("--set", change)]
    process = hfmm("run", write_recipe(tiny_whisper), "--out", "out", *options)
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["verified"]["snippet"]
    assert {record["baseline"] for record in results["records"]} == {"", "pretrained checkpoint"}
    card = (tmp_path / "out/model/README.md").read_text()
    assert '<audio controls src="example.wav"></audio>' in card and "chunk_length_s=2" in card
    output = hfmm("predict", "out/model", "out/model/example.wav").stdout
    assert json.loads(output)["text"] in card
