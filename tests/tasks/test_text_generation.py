from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from datasets import Features
from safetensors.torch import load_file

from hfmm.errors import UserError
from hfmm.models import causal_lm
from hfmm.models.common.chat_template import LLAVA_TURNS
from hfmm.recipe.schema import Recipe
from hfmm.tasks.common.assistant_masks import IGNORE_INDEX
from hfmm.tasks.text_generation import TextGenerationTask
from tests.loading import load_model, load_processor

TALK = (("She go.\nRight?", "no"), ("Then how?", "She goes."), ("Which person?", "third"))


@pytest.fixture(scope="module")
def chat_llama(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    folder = tmp_path_factory.mktemp("chat-llama")
    transformers.AutoModelForCausalLM.from_pretrained(tiny_llama).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = LLAVA_TURNS
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(chat_llama: Path) -> tuple[Any, Any]:
    return load_model(recipe(chat_llama), Features(), causal_lm.AUTO_CLASS)


def recipe(checkpoint: Path) -> Recipe:
    stage = {"name": "all", "trainable": "all", "num_train_epochs": 1, "learning_rate": 1e-3}
    model = {"checkpoint": str(checkpoint), "max_new_tokens": 12}
    return Recipe.model_validate(
        {"name": "x", "task": "x", "data": {"builder": "x"}, "model": model, "stages": [stage], "metrics": ["x"]}
    )


@pytest.fixture
def model(loaded: tuple[Any, Any]) -> Any:
    return loaded[0].eval()


@pytest.fixture
def task(loaded: tuple[Any, Any]) -> TextGenerationTask:
    return TextGenerationTask(loaded[0].config, loaded[1], TextGenerationTask.Options())


def row(index: int = 0, turns: tuple[tuple[str, str], ...] = TALK, **columns: Any) -> dict[str, Any]:
    messages = []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"id": str(index), "messages": messages, "group": "a"} | columns


ROWS = [row(0, TALK[:1]), row(1), row(2, TALK[1:]), row(3, TALK[:2])]


def test_labels_are_the_answers_with_their_end_tokens(task: TextGenerationTask) -> None:
    batch = task.collate(ROWS)
    for index, chat_row in enumerate(ROWS):
        decoded = task.processor.decode(batch["labels"][index][batch["labels"][index] != IGNORE_INDEX])
        assert decoded == "".join(f" {message['content']}</s>" for message in chat_row["messages"][1::2])
    assert task.num_items(batch) == int((batch["labels"] != IGNORE_INDEX).sum())
    assert task.describe_labels(ROWS[0]) == "USER: She go.\nRight?\nASSISTANT:« no</s>»\n"


def test_loss_equals_the_model_loss_and_is_independent_of_batch_size(task: TextGenerationTask, model: Any) -> None:
    batch = task.collate(ROWS)
    items = task.num_items(batch)
    loss = task.loss(model, batch, items)
    torch.testing.assert_close(loss, model(**batch).loss)
    torch.testing.assert_close(
        loss, sum(task.loss(model, task.collate(ROWS[start : start + 2]), items) for start in (0, 2))
    )


def test_each_question_is_predicted_after_the_reference_turns(task: TextGenerationTask, model: Any) -> None:
    answers = next(task.predict(model, [row()], 1))["prediction"]
    for turn in range(3):
        shorter = row() | {"messages": row()["messages"][: 2 * turn + 1]}
        assert next(task.predict(model, [shorter], 1))["prediction"] == answers[turn : turn + 1]


def test_nats_of_the_reference_answers_sum_to_the_loss(task: TextGenerationTask, model: Any) -> None:
    predictions = list(task.predict(model, ROWS, 2))
    for prediction, chat_row in zip(predictions, ROWS, strict=True):
        batch = task.collate([chat_row])
        assert sum(prediction["tokens"]) == task.num_items(batch)
        assert sum(prediction["nats"]) == pytest.approx(float(task.loss(model, batch, 1).detach()), rel=1e-4)
        assert len(prediction["nats"]) == len(prediction["prediction"])
    single = next(task.predict(model, [row(0, TALK[:1])], 1))
    assert predictions[1]["nats"][0] == pytest.approx(single["nats"][0], rel=1e-4)
    assert next(task.predict(model, [row() | {"messages": row()["messages"][:1]}], 1)).keys() == {"prediction"}


def test_eos_tokens_come_from_config_tokenizer_and_chat_template(chat_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(chat_llama, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"eos_token_id": [3, config["eos_token_id"]]}))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_tokens(["<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = LLAVA_TURNS.replace("eos_token", "'<|im_end|>'")
    tokenizer.save_pretrained(tmp_path)
    model, _ = load_model(recipe(tmp_path), Features(), causal_lm.AUTO_CLASS)
    assert model.generation_config.eos_token_id == [3, tokenizer.eos_token_id, len(tokenizer) - 1]


def test_template_without_end_token_gets_one_and_warns_once(chat_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(chat_llama, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text(LLAVA_TURNS.replace(" + eos_token", ""))
    with pytest.warns(
        UserWarning, match=r"model\.checkpoint: the chat template of .* does not end an answer with a special token"
    ):
        load_processor(recipe(tmp_path), causal_lm.AUTO_CLASS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, tokenizer = load_model(recipe(tmp_path), Features(), causal_lm.AUTO_CLASS)
    task = TextGenerationTask(model.config, tokenizer, TextGenerationTask.Options())
    assert "« no</s>»" in task.describe_labels(ROWS[0])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_pipeline_of_the_saved_model_equals_predict(
    task: TextGenerationTask, model: Any, batch_size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task.collate(ROWS)  # a tokenizer is saved after training, with the padding side of its last batch
    model.save_pretrained(tmp_path)
    task.processor.save_pretrained(tmp_path)
    expected = [{"prediction": output["prediction"][-1]} for output in task.predict(model, ROWS, batch_size)]
    pipe = transformers.pipeline("text-generation", model=str(tmp_path))
    with caplog.at_level(logging.WARNING):
        outputs = pipe(
            [json.loads(TextGenerationTask.input.to_bytes(chat_row)) for chat_row in ROWS],
            batch_size=batch_size,
            **task.pipeline_kwargs([]),
        )
    assert [task.parse_pipeline_output(output) for output in outputs] == expected


def test_stored_chat_ends_with_the_last_question(task: TextGenerationTask) -> None:
    restored = task.input.from_bytes(task.input.to_bytes(row()))
    assert restored["messages"] == row()["messages"][:-1]
    assert task.input.to_bytes(restored) == task.input.to_bytes(row())


def test_example_file_holds_the_text_and_accepts_questions(task: TextGenerationTask, tmp_path: Path) -> None:
    name = task.input.write_example(row(), tmp_path)
    assert (tmp_path / name).read_text() == "She go."
    (file_row,) = task.input.rows_from_file(str(tmp_path / name), ["Right?"])
    assert file_row["messages"] == [{"role": "user", "content": "She go.\nRight?"}]


def test_binary_file_raises_error_with_its_name(task: TextGenerationTask, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(UserError, match=r"image\.png is not UTF-8 text"):
        task.input.rows_from_file(str(tmp_path / "image.png"), ["Right?"])


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ((("Who?", " "),), "message 2, an answer, is empty"),
        ((("Who?", "x" * 300),), r"it has \d+ tokens, and the model reads at most 256"),
    ],
)
def test_validator_rejects_invalid_rows(
    loaded: tuple[Any, Any], turns: tuple[tuple[str, str], ...], message: str
) -> None:
    validate = TextGenerationTask.make_row_validator(causal_lm.FAMILY, loaded[0].config, loaded[1], Features())
    validate(row())
    with pytest.raises(UserError, match=message):
        validate(row(0, turns))
    with pytest.raises(UserError, match="message 3, its last, is a question without an answer"):
        validate(row() | {"messages": row()["messages"][:3]})


def test_model_without_chat_template_raises_error(tiny_llama: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    with pytest.raises(UserError, match=r"model\.checkpoint: the model has no chat template"):
        TextGenerationTask.make_row_validator(causal_lm.FAMILY, None, tokenizer, Features())


RECIPE = """
name: speaker
task: text_generation
data: {{builder: text_questions, turns: 1, train: 16, validation: 4, test: 40}}
model: {{checkpoint: {checkpoint}, max_new_tokens: 8}}
stages:
  - {{name: lora, trainable: lora, num_train_epochs: 1, learning_rate: 1.0e-2, per_device_train_batch_size: 8}}
metrics: [exact_match, correction_accuracy, page_cer]
"""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_run_saves_and_verifies_the_model_in_the_chosen_dtype(
    hfmm: Callable[..., Any], chat_llama: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    (tmp_path / "speaker.yaml").write_text(RECIPE.format(checkpoint=chat_llama))
    name = str(dtype).removeprefix("torch.")
    process = hfmm("run", "speaker.yaml", "--out", "out", "--set", f"publish.dtype={name}")
    assert process.returncode == 0, process.stderr
    assert {tensor.dtype for tensor in load_file(tmp_path / "out/model/model.safetensors").values()} == {dtype}
    assert json.loads((tmp_path / "out/model/config.json").read_text())["dtype"] == name
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["verified"] == {"predictions": 32, "snippet": True}
    card = (tmp_path / "out/model/README.md").read_text()
    assert "example.png" not in card
    assert ("The weights are stored in bf16." in card) == (dtype is torch.bfloat16)
    output = hfmm("predict", "out/model", "out/model/example.txt", "--text", "Who?", "--text", "What?").stdout
    assert [json.loads(line)["question"] for line in output.splitlines()] == ["Who?", "What?"]
