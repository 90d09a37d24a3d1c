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
def talking_llama(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    folder = tmp_path_factory.mktemp("talking-llama")
    transformers.AutoModelForCausalLM.from_pretrained(tiny_llama).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = LLAVA_TURNS
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(talking_llama: Path) -> tuple[Any, Any]:
    return load_model(recipe(talking_llama), Features(), causal_lm.AUTO_CLASS)


def recipe(checkpoint: Path) -> Recipe:
    stage = {"name": "all", "trainable": "all", "num_train_epochs": 1, "learning_rate": 1e-3}
    spec = {"checkpoint": str(checkpoint), "max_new_tokens": 12}
    return Recipe.model_validate(
        {"name": "x", "task": "x", "data": {"builder": "x"}, "model": spec, "stages": [stage], "metrics": ["x"]}
    )


@pytest.fixture
def model(loaded: tuple[Any, Any]) -> Any:
    return loaded[0].eval()


@pytest.fixture
def task(loaded: tuple[Any, Any]) -> TextGenerationTask:
    return TextGenerationTask(loaded[0].config, loaded[1], TextGenerationTask.Options())


def row(index: int = 0, turns: tuple[tuple[str, str], ...] = TALK, **more: Any) -> dict[str, Any]:
    messages = []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"id": str(index), "messages": messages, "group": "a"} | more


ROWS = [row(0, TALK[:1]), row(1), row(2, TALK[1:]), row(3, TALK[:2])]


def test_every_answer_is_learnt_with_its_end_and_nothing_else(task: TextGenerationTask) -> None:
    batch = task.collate(ROWS)
    for place, one in enumerate(ROWS):
        said = task.processor.decode(batch["labels"][place][batch["labels"][place] != IGNORE_INDEX])
        assert said == "".join(f" {message['content']}</s>" for message in one["messages"][1::2])
    assert task.num_items(batch) == int((batch["labels"] != IGNORE_INDEX).sum())
    assert task.describe_labels(ROWS[0]) == "USER: She go.\nRight?\nASSISTANT:« no</s>»\n"


def test_the_loss_is_the_models_own_and_does_not_change_with_the_split_of_a_batch(
    task: TextGenerationTask, model: Any
) -> None:
    batch = task.collate(ROWS)
    items = task.num_items(batch)
    whole = task.loss(model, batch, items)
    torch.testing.assert_close(whole, model(**batch).loss)
    torch.testing.assert_close(whole, sum(task.loss(model, task.collate(ROWS[at : at + 2]), items) for at in (0, 2)))


def test_each_question_is_asked_after_the_turns_of_the_data(task: TextGenerationTask, model: Any) -> None:
    whole = next(task.predict(model, [row()], 1))["prediction"]
    for place in range(3):
        shorter = row() | {"messages": row()["messages"][: 2 * place + 1]}
        assert next(task.predict(model, [shorter], 1))["prediction"] == whole[place : place + 1]


def test_the_surprise_of_each_true_answer_adds_up_to_the_loss(task: TextGenerationTask, model: Any) -> None:
    rows = list(task.predict(model, ROWS, 2))
    for one, asked in zip(rows, ROWS, strict=True):
        batch = task.collate([asked])
        assert sum(one["tokens"]) == task.num_items(batch)
        assert sum(one["nats"]) == pytest.approx(float(task.loss(model, batch, 1).detach()), rel=1e-4)
        assert len(one["nats"]) == len(one["prediction"])
    alone = next(task.predict(model, [row(0, TALK[:1])], 1))
    assert rows[1]["nats"][0] == pytest.approx(alone["nats"][0], rel=1e-4)
    assert next(task.predict(model, [row() | {"messages": row()["messages"][:1]}], 1)).keys() == {"prediction"}


def test_a_model_stops_where_its_config_does_and_its_chat_template_ends_an_answer(
    talking_llama: Path, tmp_path: Path
) -> None:
    shutil.copytree(talking_llama, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"eos_token_id": [3, config["eos_token_id"]]}))
    own = transformers.AutoTokenizer.from_pretrained(tmp_path)
    own.add_tokens(["<|im_end|>"], special_tokens=True)
    own.chat_template = LLAVA_TURNS.replace("eos_token", "'<|im_end|>'")
    own.save_pretrained(tmp_path)
    model, _ = load_model(recipe(tmp_path), Features(), causal_lm.AUTO_CLASS)
    assert model.generation_config.eos_token_id == [3, own.eos_token_id, len(own) - 1]


def test_where_the_template_writes_no_end_the_end_token_is_learnt_and_that_is_said_once(
    talking_llama: Path, tmp_path: Path
) -> None:
    shutil.copytree(talking_llama, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text(LLAVA_TURNS.replace(" + eos_token", ""))
    with pytest.warns(UserWarning, match=r"model\.checkpoint: the chat template of .* writes no end after an answer"):
        load_processor(recipe(tmp_path), causal_lm.AUTO_CLASS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, own = load_model(recipe(tmp_path), Features(), causal_lm.AUTO_CLASS)
    assert "« no</s>»" in TextGenerationTask(model.config, own, TextGenerationTask.Options()).describe_labels(ROWS[0])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_saved_model_says_in_the_pipeline_what_we_predict(
    task: TextGenerationTask, model: Any, batch_size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task.collate(ROWS)  # a tokenizer remembers on which side it padded last, and is saved after training
    model.save_pretrained(tmp_path)
    task.processor.save_pretrained(tmp_path)
    wanted = [{"prediction": one["prediction"][-1]} for one in task.predict(model, ROWS, batch_size)]
    speaker = transformers.pipeline("text-generation", model=str(tmp_path))
    with caplog.at_level(logging.WARNING):
        said = speaker(
            [json.loads(TextGenerationTask.input.to_bytes(one)) for one in ROWS],
            batch_size=batch_size,
            **task.pipeline_kwargs([]),
        )
    assert [task.parse_pipeline_output(one) for one in said] == wanted


def test_a_stored_chat_ends_with_its_last_question(task: TextGenerationTask) -> None:
    again = task.input.from_bytes(task.input.to_bytes(row()))
    assert again["messages"] == row()["messages"][:-1]
    assert task.input.to_bytes(again) == task.input.to_bytes(row())


def test_the_example_is_what_the_first_question_is_about_and_a_file_of_it_can_be_asked_about(
    task: TextGenerationTask, tmp_path: Path
) -> None:
    name = task.input.write_example(row(), tmp_path)
    assert (tmp_path / name).read_text() == "She go."
    (asked,) = task.input.rows_from_file(str(tmp_path / name), ["Right?"])
    assert asked["messages"] == [{"role": "user", "content": "She go.\nRight?"}]


def test_a_file_that_is_no_text_is_refused_by_its_name(task: TextGenerationTask, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(UserError, match=r"picture\.png is no text in UTF-8"):
        task.input.rows_from_file(str(tmp_path / "picture.png"), ["Right?"])


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ((("Who?", " "),), "message 2, an answer, is empty"),
        ((("Who?", "x" * 300),), r"it has \d+ tokens, and the model reads 256"),
    ],
)
def test_rows_that_cannot_be_used_are_told_before_training(
    loaded: tuple[Any, Any], turns: tuple[tuple[str, str], ...], words: str
) -> None:
    check = TextGenerationTask.make_row_validator(causal_lm.FAMILY, loaded[0].config, loaded[1], Features())
    check(row())
    with pytest.raises(UserError, match=words):
        check(row(0, turns))
    with pytest.raises(UserError, match="message 3, its last, is a question without an answer"):
        check(row() | {"messages": row()["messages"][:3]})


def test_a_model_without_a_chat_template_is_refused(tiny_llama: Path) -> None:
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
def test_it_goes_through_the_same_spine_and_is_written_and_proved_in_the_dtype_asked_for(
    hfmm: Callable[..., Any], talking_llama: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    (tmp_path / "speaker.yaml").write_text(RECIPE.format(checkpoint=talking_llama))
    name = str(dtype).removeprefix("torch.")
    done = hfmm("run", "speaker.yaml", "--out", "out", "--set", f"publish.dtype={name}")
    assert done.returncode == 0, done.stderr
    assert {tensor.dtype for tensor in load_file(tmp_path / "out/model/model.safetensors").values()} == {dtype}
    assert json.loads((tmp_path / "out/model/config.json").read_text())["dtype"] == name
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert found["verified"] == {"predictions": 32, "snippet": True}
    card = (tmp_path / "out/model/README.md").read_text()
    assert "example.png" not in card
    assert ("The weights are stored in bf16." in card) == (dtype is torch.bfloat16)
    said = hfmm("predict", "out/model", "out/model/example.txt", "--text", "Who?", "--text", "What?").stdout
    assert [json.loads(line)["question"] for line in said.splitlines()] == ["Who?", "What?"]
