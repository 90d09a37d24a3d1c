import copy
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
from PIL import Image

from hfmm.data.common.images import decode, encode
from hfmm.errors import UserError
from hfmm.metrics import exact_match
from hfmm.models import vision_language
from hfmm.models.common import vision_tower
from hfmm.recipe.schema import Recipe
from hfmm.tasks.common.assistant_masks import IGNORE_INDEX
from hfmm.tasks.image_text_to_text import ImageTextToTextTask
from tests.loading import load_model

CHAT = (  # of the shape of SmolVLM's
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}:{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
KINDS = ("mlp", "pixel_shuffle", "idefics3")


@pytest.fixture(scope="module")
def idefics3(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """An image-text model of the shape of SmolVLM, ready as it is."""
    folder = tmp_path_factory.mktemp("idefics3")
    own = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    tokens = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<|im_start|>"]
    own.add_tokens(tokens, special_tokens=True)
    own.eos_token, own.padding_side = "<end_of_utterance>", "right"
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = sizes | {"model_type": "llama", "vocab_size": len(own), "max_position_embeddings": 256}
    ids = {"eos_token_id": own.eos_token_id, "pad_token_id": own.eos_token_id, "bos_token_id": None}
    config = transformers.Idefics3Config(
        vision_config=sizes | {"image_size": 32, "patch_size": 8}, text_config=text | ids, scale_factor=2,
        image_token_id=own.convert_tokens_to_ids("<image>"), pad_token_id=own.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    edge = {"longest_edge": 32}
    pictures = transformers.Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    transformers.Idefics3Processor(pictures, own, image_seq_len=4, chat_template=CHAT).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def load(tiny_vit: Path, tiny_llama: Path, idefics3: Path) -> Callable[..., tuple[Any, Any]]:
    def load(kind: str, **more: Any) -> tuple[Any, Any]:
        torch.manual_seed(0)
        spec = {"checkpoint": str(tiny_vit), "language_model": str(tiny_llama), "connector": kind}
        spec = {"checkpoint": str(idefics3)} if kind == "idefics3" else spec
        stage = {"name": "all", "trainable": "all", "num_train_epochs": 1, "learning_rate": 1e-3}
        recipe = Recipe(name="x", task="x", data={"builder": "x"}, model=spec | more, stages=[stage], metrics=["x"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_model(recipe, Features(), vision_language.AUTO_CLASS)

    return load


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest, load: Callable[..., tuple[Any, Any]]) -> tuple[Any, Any]:
    return load(request.param, max_new_tokens=12)


@pytest.fixture
def kind(loaded: tuple[Any, Any]) -> str:
    return str(loaded[0].config.model_type)


@pytest.fixture
def model(loaded: tuple[Any, Any]) -> Any:
    return loaded[0].eval()


@pytest.fixture
def processor(loaded: tuple[Any, Any]) -> Any:
    return loaded[1]


@pytest.fixture
def task(loaded: tuple[Any, Any]) -> ImageTextToTextTask:
    return ImageTextToTextTask(loaded[0].config, loaded[1], ImageTextToTextTask.Options())


def picture(seed: int = 0, size: tuple[int, int] = (32, 32)) -> dict[str, Any]:
    torch.manual_seed(seed)
    return encode(Image.fromarray(torch.randint(0, 256, (*size[::-1], 3), dtype=torch.uint8).numpy()))


def row(index: int = 0, turns: tuple[tuple[str, str], ...] = (("Who?", "He."),), images: int = 1, **more: Any) -> Any:
    """A conversation; its first question is about all of its images but the last, the last about that."""
    messages: list[dict[str, Any]] = []
    for question, answer in turns:
        messages.append({"role": "user", "content": [{"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    for number in range(images):
        place = messages[0] if number < max(1, images - 1) else messages[-2]
        place["content"].insert(0, {"type": "image", "text": None})
    pictures = [picture(10 * index + number) for number in range(images)]
    return {"id": str(index), "messages": messages, "images": pictures, "group": "a"} | more


TALK = (("Who?", "He."), ("Which tense is it?", "past simple, I think"), ("And now?", "Ja"))
ROWS = [
    row(0),
    row(1, TALK),
    row(2, TALK[:2], 3),
    row(3, TALK[1:], 2),
    *(row(index, TALK[:1]) for index in range(4, 8)),
]


def learnt(batch: Any, processor: Any, place: int = 0) -> str:
    labels = batch["labels"][place]
    said: str = processor.tokenizer.decode(labels[labels != IGNORE_INDEX])
    return said


def test_every_answer_of_a_conversation_is_learnt_with_its_end_and_nothing_else(
    task: ImageTextToTextTask, processor: Any
) -> None:
    batch = task.collate(ROWS)
    end = processor.tokenizer.eos_token
    for place, one in enumerate(ROWS):
        answers = [message["content"][0]["text"] for message in one["messages"][1::2]]
        assert learnt(batch, processor, place) == "".join(f" {answer}{end}" for answer in answers)
    at = batch["labels"] != IGNORE_INDEX
    assert batch["labels"][at].equal(batch["input_ids"][at])
    assert task.num_items(batch) == int(at.sum())


def test_answers_of_a_ready_model_whose_template_does_not_end_them_are_learnt_with_the_end_token(
    load: Callable[..., tuple[Any, Any]], idefics3: Path, tmp_path: Path
) -> None:
    shutil.copytree(idefics3, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text(CHAT.replace("<end_of_utterance>", ""))  # as LLaVA 1.5's
    model, processor = load("idefics3", checkpoint=str(tmp_path))
    assert learnt(
        ImageTextToTextTask(model.config, processor, ImageTextToTextTask.Options()).collate([row(1, TALK)]), processor
    ) == "".join(f" {answer}<end_of_utterance>" for _, answer in TALK)


def test_a_batch_is_padded_on_the_right(task: ImageTextToTextTask) -> None:
    seen = task.collate(ROWS)["attention_mask"]
    assert seen[:, 0].all() and not seen[:, -1].all()


def test_what_is_learnt_is_shown_with_the_image_tokens_counted(task: ImageTextToTextTask, processor: Any) -> None:
    shown = task.describe_labels(row(1, TALK))
    end = processor.tokenizer.eos_token
    assert f"« He.{end}»" in shown and f"« past simple, I think{end}»" in shown and shown.count("«") == 3
    assert f"<image> x {processor.tokenizer('<image>' * 4)['input_ids'].count(processor.image_token_id)}" in shown or (
        shown.count("<image>") == 1  # four patches pooled are one
    )


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    return found


def test_the_loss_is_the_models_own_and_it_and_its_gradient_do_not_change_with_the_split_of_a_batch(
    task: ImageTextToTextTask, model: Any
) -> None:
    batch = task.collate(ROWS)
    items = task.num_items(batch)
    whole = task.loss(model, batch, items)
    whole.backward()
    together = gradients(model)
    own = model(**batch).loss
    own.backward()
    plain = gradients(model)
    parts = torch.zeros(())
    for start in range(0, 8, 2):
        part = task.loss(model, task.collate(ROWS[start : start + 2]), items)
        part.backward()
        parts += part.detach()
    torch.testing.assert_close(whole, own)
    torch.testing.assert_close(whole.detach(), parts)
    split = gradients(model)
    assert together.keys() == split.keys() == plain.keys() and together
    for name, one in together.items():
        torch.testing.assert_close(one, split[name], msg=name, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(one, plain[name], msg=name, rtol=1e-4, atol=1e-6)


def test_logits_are_computed_only_where_an_answer_is_predicted(task: ImageTextToTextTask, model: Any) -> None:
    batch, seen = task.collate(ROWS), []
    hook = model.get_output_embeddings().register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    task.loss(model, batch, 1)
    hook.remove()
    assert [shape[:-1].numel() for shape in seen] == [task.num_items(batch)]


def test_each_question_is_asked_after_the_turns_of_the_data_whatever_was_said_to_others(
    task: ImageTextToTextTask, model: Any
) -> None:
    talk = row(1, TALK, 2)
    whole = next(task.predict(model, [talk], 1))["prediction"]
    for place in range(3):
        shorter = talk | {"messages": talk["messages"][: 2 * place + 1], "images": talk["images"][: 1 + place // 2]}
        assert next(task.predict(model, [shorter], 1))["prediction"] == whole[place : place + 1]
    assert len({len(one["prediction"]) for one in task.predict(model, ROWS, 3)}) == 3


def test_what_a_model_has_learnt_it_says_and_then_stops(load: Callable[..., tuple[Any, Any]]) -> None:
    model, processor = load("mlp")
    task = ImageTextToTextTask(model.config, processor, ImageTextToTextTask.Options())
    rows = [row(0, (("What?", "a b"), ("And?", "no."))), row(1, (("What?", "2"),))]
    batch, optimizer = task.collate(rows), torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        task.loss(model, batch, task.num_items(batch)).backward()
        optimizer.step()
        optimizer.zero_grad()
    predictions = list(task.predict(model.eval(), rows, 2))
    assert [one["prediction"] for one in predictions] == [["a b", "no."], ["2"]]
    assert task.mark_wrong(predictions, [task.reference(one) for one in rows]) == [False, False]


def chats(rows: list[Any]) -> list[Any]:
    return [json.loads(ImageTextToTextTask.input.to_bytes(one)) for one in rows]


@pytest.mark.parametrize("batch_size", [1, 8])
def test_the_saved_model_says_in_the_pipeline_what_we_predict_and_nothing_is_warned_of(
    task: ImageTextToTextTask,
    model: Any,
    processor: Any,
    batch_size: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    task.collate(ROWS)  # a tokenizer remembers on which side it padded last, and is saved after training
    model = copy.deepcopy(model)
    with torch.no_grad():  # weights as small as those of a new model give every question the same answer
        for weight in model.parameters():
            weight.mul_(6 if weight.ndim > 1 else 1)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    rows = [row(index, TALK[: index % 3 + 1]) for index in range(8)]
    wanted = [{"prediction": one["prediction"][-1]} for one in task.predict(model, rows, batch_size)]
    speaker = transformers.pipeline("image-text-to-text", model=str(tmp_path))
    transformers.logging.set_verbosity_warning()
    transformers.logging.enable_propagation()
    try:
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            said = speaker(chats(rows), batch_size=batch_size, **task.pipeline_kwargs([]))
    finally:
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_propagation()
    assert [task.parse_pipeline_output(one) for one in said] == wanted
    assert len(set(map(str, wanted))) > 1 and caplog.messages == []
    tokens = speaker(chats(rows[:1]), return_tensors=True)[0][0]["generated_token_ids"]
    prompt = task.generator.encode(chats(rows[:1]), "left", answer=True)["input_ids"]
    assert len(tokens) - prompt.shape[1] <= 12


def test_a_ready_model_answers_greedily_and_briefly_too(
    load: Callable[..., tuple[Any, Any]], idefics3: Path, tmp_path: Path
) -> None:
    shutil.copytree(idefics3, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").write_text('{"do_sample": true, "top_k": 7, "eos_token_id": 3}')
    model, processor = load("idefics3", checkpoint=str(tmp_path))
    settings = model.generation_config
    assert not settings.do_sample and settings.top_k is None
    assert (settings.max_new_tokens, settings.eos_token_id) == (64, [3, processor.tokenizer.eos_token_id])


def test_a_stored_chat_has_its_pictures_and_its_last_question(task: ImageTextToTextTask) -> None:
    talk = row(2, TALK, 3)
    again = task.input.from_bytes(task.input.to_bytes(talk))
    assert [decode(one).tobytes() for one in again["images"]] == [decode(one).tobytes() for one in talk["images"]]
    assert again["messages"][-1]["content"][-1] == {"type": "text", "text": "And now?"}
    assert again["messages"][1]["content"] == [{"type": "text", "text": "He."}]
    assert task.input.to_bytes(again) == task.input.to_bytes(talk)


def test_the_metrics_read_the_answers_kind_by_kind(task: ImageTextToTextTask) -> None:
    rows = [row(0, TALK[:2], kinds=["person", "tense"]), row(1, kinds=["person"])]
    references = [task.reference(one) for one in rows]
    predictions = [{"prediction": ["he", "present"]}, {"prediction": ["She."]}]
    slices = exact_match.row_statistics(task.metric_inputs(predictions), references)
    assert {name: (top.sum(), bottom.sum()) for name, (top, bottom) in slices.items()} == {
        "": (1, 3),
        "person": (1, 2),
        "tense": (0, 1),
    }
    assert task.mark_wrong([{"prediction": ["HE"]}], references[1:]) == [False]
    assert task.mark_wrong(predictions, references) == [True, True]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": [picture(), picture(1)]}, "more images than image parts, 2 and 1"),
        ({"images": []}, "fewer images than image parts, 0 and 1"),
        ({"messages": row(0, (("Who?", " "),))["messages"]}, "message 2, an answer, is empty"),
        ({"messages": row()["messages"][:1]}, "there is no answer to learn"),
        ({"messages": row(0, TALK)["messages"][:3]}, "message 3, its last, is a question without an answer"),
        ({"messages": row(0, images=0)["messages"], "images": []}, "it has no image"),
        ({"messages": row(0, (("<image> Who?", "He."),))["messages"]}, "one of its texts holds <image>"),
        ({"images": [{"bytes": b"", "path": "a/one.png"}]}, r"one\.png is empty"),
        ({"kinds": ["tense", "person"]}, "it names 2 kinds of questions and has 1 answers"),
    ],
)
def test_rows_that_cannot_be_used_are_told_before_training(
    model: Any, processor: Any, change: dict[str, Any], words: str
) -> None:
    check = ImageTextToTextTask.make_row_validator(vision_language.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    check(row(kinds=["person"]))
    with pytest.raises(UserError, match=words):
        check(row() | change)


def test_a_row_that_is_longer_than_the_model_reads_is_refused_with_the_arithmetic(
    model: Any, processor: Any, task: ImageTextToTextTask
) -> None:
    check = ImageTextToTextTask.make_row_validator(vision_language.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    shorter = row(0, (("Who?", "x" * 150),), 2)
    shorter["messages"][0]["content"].insert(0, shorter["messages"][0]["content"].pop(0))
    own = task.collate([shorter])["input_ids"].shape[1]
    longer = row(0, (("Who?", "x" * (150 + 256 - own)),), 2)
    check(longer)
    longer["messages"][1]["content"][0]["text"] += "x"
    with pytest.raises(
        UserError, match=r"it has 257 tokens, (\d) \+ \1 of images and \d+ of text.* reads 256"
    ) as error:
        check(longer)
    numbers = [int(word) for word in str(error.value).replace(",", "").split() if word.isdigit()]
    assert numbers[0] == sum(numbers[1:4])


def test_a_question_whose_answer_may_go_past_what_the_model_reads_is_refused_with_the_arithmetic(
    model: Any, processor: Any, task: ImageTextToTextTask
) -> None:
    config = copy.deepcopy(model.config)
    asked = task.generator.encode(chats([row(0, TALK)]), "left", answer=True)["input_ids"].shape[1]
    config.max_new_tokens = 256 - asked
    ImageTextToTextTask.make_row_validator(vision_language.FAMILY, config, processor, None)(row(0, TALK))  # type: ignore[arg-type]
    config.max_new_tokens += 1
    with pytest.raises(UserError, match=rf"is asked with {asked} tokens, .* may take {257 - asked} \(model\.max_new"):
        ImageTextToTextTask.make_row_validator(vision_language.FAMILY, config, processor, None)(row(0, TALK))  # type: ignore[arg-type]


def test_features_take_the_place_of_pictures_which_are_not_decoded(
    task: ImageTextToTextTask, model: Any, kind: str
) -> None:
    if kind == "idefics3":
        with pytest.raises(
            UserError, match=r"data\.cache_vision_features: this 'idefics3' model reads its vision tower"
        ):
            vision_tower.vision_tower(model)
        return
    rows = [row(0), row(1, TALK, 3)]
    pictures = task.collate(rows)
    model = copy.deepcopy(model)
    vision_tower.accept_precomputed_features(model)
    features = vision_tower.features(model, pictures["pixel_values"])
    known = [one | {"features": seen} for one, seen in zip(rows, features.split([1, 3]), strict=True)]
    for one in known:
        one["images"] = [{"bytes": b"no picture", "path": None} for _ in one["images"]]
    batch = task.collate(known)
    assert batch["input_ids"].equal(pictures["input_ids"]) and batch["labels"].equal(pictures["labels"])
    assert batch["pixel_values"].equal(features) and features.ndim == 3
    assert task.loss(model, batch, 1).equal(task.loss(model, pictures, 1))
    with pytest.raises(UserError, match=r"data\.cache_vision_features: the processor cuts a picture into tiles"):
        task.collate([known[0] | {"features": features}])


def test_a_model_without_a_chat_template_is_refused(model: Any, processor: Any) -> None:
    known, processor.chat_template = processor.chat_template, None
    try:
        with pytest.raises(UserError, match=r"model\.checkpoint: the model has no chat template"):
            ImageTextToTextTask.make_row_validator(vision_language.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    finally:
        processor.chat_template = known


@pytest.mark.parametrize(
    ("template", "turns", "words"),
    [
        ("{% for m in messages[-2:] %}" + CHAT.partition("%}")[2], 3, "writes message 2, an answer, in another way"),
        (CHAT.replace("'Assistant:'", "''"), 1, "puts 'Assistant: He.*' where the model is to say"),
        ("{{ raise_exception('No pictures here.') }}", 1, r"does not take this conversation: No pictures here\."),
    ],
)
def test_a_chat_template_that_hides_where_answers_stand_is_refused(
    load: Callable[..., tuple[Any, Any]], template: str, turns: int, words: str
) -> None:
    model, processor = load("idefics3")
    processor.chat_template = template
    with pytest.raises(UserError, match=words):
        ImageTextToTextTask.make_row_validator(vision_language.FAMILY, model.config, processor, None)(row(0, TALK[:turns]))  # type: ignore[arg-type]


RECIPE = """
name: tutor
task: image_text_to_text
data: {{builder: visual_questions, turns: 1, train: 16, validation: 8, test: 40, size: 32}}
model: {{checkpoint: {vision}, language_model: {language}, max_new_tokens: 8}}
stages:
  - {{name: align, trainable: model.multi_modal_projector, num_train_epochs: 1, learning_rate: 1.0e-2, per_device_train_batch_size: 8}}
  - {{name: finetune, trainable: lora, num_train_epochs: 1, learning_rate: 1.0e-2, per_device_train_batch_size: 4, gradient_accumulation: 2}}
metrics: [exact_match, token_f1, correction_accuracy]
baselines: [pretrained]
"""


def test_two_stages_go_through_the_same_spine(
    hfmm: Callable[..., Any], tiny_vit: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    (tmp_path / "tutor.yaml").write_text(RECIPE.format(vision=tiny_vit, language=tiny_llama))
    done = hfmm("run", "tutor.yaml", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "labels         USER: <image> x 4" in done.stdout and "</s>»" in done.stdout
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert found["verified"] == {"predictions": 32, "snippet": True}
    assert {"exact_match", "token_f1", "correction"} == {one["metric"] for one in found["records"]}
    aligned, finetuned = ({row["module"] for row in one["modules"] if row["trainable"]} for one in stages(found))
    assert aligned == {"model.multi_modal_projector"}
    assert finetuned == {"model.multi_modal_projector", "model.language_model"}
    card = (tmp_path / "out/model/README.md").read_text()
    assert "| row | question type | reference | prediction |\n|---|---|---|---|\n| test-" in card
    assert "speaker(text=chat, return_full_text=False)" in card and str(tmp_path.parent) not in card
    said = hfmm("predict", "out/model", "out/model/example.png", "--text", "Who?", "--text", "What?").stdout
    asked = [json.loads(line) for line in said.splitlines()]
    assert [one["question"] for one in asked] == ["Who?", "What?"] and all("answer" in one for one in asked)
    assert "is given texts beside each file" in hfmm("predict", "out/model", "out/model/example.png").stderr


def stages(results: Any) -> Any:
    return results["train"]["stages"]
