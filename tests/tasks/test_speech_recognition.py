import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline

from hfmm.data.common.audio import SAMPLE_RATE, encode
from hfmm.errors import UserError
from hfmm.models import whisper
from hfmm.tasks import speech_recognition
from hfmm.tasks.common.losses import ctc_loss
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


def row(index: int = 0, seconds: float = 1.0, text: str = "He works.", **more: Any) -> dict[str, Any]:
    audio = encode(noise(seconds, index))
    return {"id": str(index), "audio": audio, "text": text, "group": "work/present/3sg"} | more


def test_labels_are_what_the_decoder_is_to_write_next(task: SpeechRecognitionTask) -> None:
    batch = task.collate([row(0), row(1, text="I go.")])
    assert batch["input_features"].shape == (2, 80, 400)
    assert batch["labels"].shape == batch["decoder_input_ids"].shape
    shorter = batch["labels"][1]
    count = int((shorter != IGNORE_INDEX).sum())
    assert batch["decoder_input_ids"][1, 1:count].tolist() == shorter[: count - 1].tolist()
    assert task.num_items(batch) == int((batch["labels"] != IGNORE_INDEX).sum())


def test_the_loss_equals_the_models_own_and_does_not_change_with_the_split_of_a_batch(
    task: SpeechRecognitionTask, model: Any
) -> None:
    rows = [row(index, text=text) for index, text in enumerate(("He works.", "I go.", "You have written.", "I am."))]
    batch = task.collate(rows)
    items = task.num_items(batch)
    with torch.no_grad():
        whole = task.loss(model, batch, items)
        parts = sum(task.loss(model, task.collate(rows[at : at + 1]), items) for at in range(4))
        own = model(**batch).loss
    torch.testing.assert_close(whole, own)
    torch.testing.assert_close(whole, parts)


def test_with_ctc_the_encoder_pays_for_what_it_spells_through_the_shared_output_layer(
    task: SpeechRecognitionTask, model: Any, processor: Any
) -> None:
    both = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(ctc_weight=0.25))
    batch = both.collate([row(0), row(1, text="I go.")])
    items = both.num_items(batch)
    with torch.no_grad():
        states = model.get_encoder()(batch["input_features"]).last_hidden_state
        spelt = ctc_loss(model.proj_out(states), batch["labels"], model.config.eos_token_id) / items
        torch.testing.assert_close(both.loss(model, batch, items), 0.75 * task.loss(model, batch, items) + 0.25 * spelt)
    assert SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(ctc_weight=1)).loss(
        model, batch, items
    ).item() == pytest.approx(spelt)


def test_the_loss_is_the_same_where_distributed_training_wraps_the_model(model: Any, processor: Any) -> None:
    task = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(ctc_weight=0.5))
    batch = task.collate([row()])
    wrapped = torch.nn.DataParallel(model)
    with torch.no_grad():
        assert task.loss(wrapped, batch, 1).equal(task.loss(model, batch, 1))


def test_each_epoch_hears_a_clip_anew_and_scoring_always_the_same(task: SpeechRecognitionTask) -> None:
    def features(**more: Any) -> torch.Tensor:
        found: torch.Tensor = task.collate([row(**more)])["input_features"]
        return found

    drawn = [features(draw=f"0/{epoch}") for epoch in range(4)]
    assert not any(drawn[0].equal(one) for one in drawn[1:])
    assert features(draw="0/1").equal(drawn[1])
    assert features().equal(features())


def test_a_clip_that_would_grow_beyond_the_window_is_heard_as_it_is(
    model: Any, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = SpeechRecognitionTask(
        model.config, processor, SpeechRecognitionTask.Options(augment_prob=1, spec_augment=False)
    )
    plain = task.collate([row()])["input_features"]
    monkeypatch.setattr(
        speech_recognition, "vary", lambda clip, rng: np.tile(clip, 1 + task.transcriber.window // len(clip))
    )
    assert task.collate([row(draw="0/0")])["input_features"].equal(plain)


def test_while_training_some_of_what_the_decoder_has_written_is_replaced_and_what_it_is_to_write_never(
    model: Any, processor: Any
) -> None:
    plain = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options())
    task = SpeechRecognitionTask(model.config, processor, SpeechRecognitionTask.Options(decoder_noise=0.5))
    rows = [row(index, text="For him to have written it.", draw="0/0") for index in range(20)]
    true, batch = plain.collate(rows), task.collate(rows)
    text = true["decoder_input_ids"] < model.config.eos_token_id
    other = true["decoder_input_ids"] != batch["decoder_input_ids"]
    assert not other[~text].any()
    assert 0.4 < other[text].float().mean() < 0.6
    assert batch["labels"].equal(true["labels"])
    assert batch["decoder_input_ids"].equal(task.collate(rows)["decoder_input_ids"])
    assert not batch["decoder_input_ids"].equal(
        task.collate([one | {"draw": "0/1"} for one in rows])["decoder_input_ids"]
    )
    scored = [row(index, text="For him to have written it.") for index in range(20)]
    assert task.collate(scored)["decoder_input_ids"].equal(plain.collate(scored)["decoder_input_ids"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": " "}, "transcript is empty"),
        ({"text": "a" * 50}, r"'aaa.*' has 54 tokens, and of a window of 4 s no more than 52 are sure"),
        ({"audio": encode(noise(5))}, r"lasts 5\.0 s and the model hears 4 s at a time: cut it"),
        ({"audio": {"bytes": b"", "path": "clips/one.wav"}}, r"one\.wav is empty"),
        ({"audio": encode(np.zeros(SAMPLE_RATE, dtype=np.float32))}, "silent"),
    ],
)
def test_rows_that_cannot_be_used_are_told_before_training(
    model: Any, processor: Any, change: dict[str, Any], words: str
) -> None:
    check = SpeechRecognitionTask.make_row_validator(whisper.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    check(row())
    with pytest.raises(UserError, match=words):
        check(row() | change)


def test_the_cell_of_a_row_tells_which_form_was_meant(task: SpeechRecognitionTask) -> None:
    put = row(text="You put.") | {"group": "put/past/2sg"}
    assert {(one["tense"], one["person"]) for one in task.reference(put)["readings"]} == {("past", "2sg")}
    own = row(text="You put.") | {"group": "my clip 7"}
    assert len(task.reference(own)["readings"]) > 1


@pytest.mark.parametrize("batch_size", [1, 8])
def test_the_pipeline_says_what_we_predict(
    task: SpeechRecognitionTask, model: Any, processor: Any, batch_size: int
) -> None:
    rows = [row(index, seconds=0.5 + 0.3 * index) for index in range(8)]
    model.generation_config.max_length, model.generation_config.num_beams = 24, 1
    listener = pipeline(
        "automatic-speech-recognition", model=model, tokenizer=processor.tokenizer,
        feature_extractor=processor.feature_extractor,
    )  # fmt: skip
    inputs = [{"raw": noise(0.5 + 0.3 * index, index), "sampling_rate": SAMPLE_RATE} for index in range(8)]
    said = [task.parse_pipeline_output(one) for one in listener(inputs, batch_size=batch_size)]
    assert said == list(task.predict(model, rows, batch_size))


def test_a_whisper_goes_through_the_same_spine(
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
    changes += [
        "stages=[{name: full, trainable: lora, num_train_epochs: 1, learning_rate: 1.0e-3, per_device_train_batch_size: 4}]"
    ]
    done = hfmm(
        "run", write_recipe(tiny_whisper), "--out", "out", *(word for one in changes for word in ("--set", one))
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert found["verified"]["snippet"]
    assert {one["baseline"] for one in found["records"]} == {"", "pretrained checkpoint"}
    card = (tmp_path / "out/model/README.md").read_text()
    assert '<audio controls src="example.wav"></audio>' in card and "chunk_length_s=2" in card
    said = hfmm("predict", "out/model", "out/model/example.wav").stdout
    assert json.loads(said)["text"] in card
