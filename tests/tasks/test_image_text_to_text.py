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

CHAT = (  # like that of SmolVLM
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}:{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
KINDS = ("mlp", "pixel_shuffle", "idefics3")


@pytest.fixture(scope="module")
def idefics3(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """Save a tiny image-text model with the architecture of SmolVLM."""
    folder = tmp_path_factory.mktemp("idefics3")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    tokens = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<|im_start|>"]
    tokenizer.add_tokens(tokens, special_tokens=True)
    tokenizer.eos_token, tokenizer.padding_side = "<end_of_utterance>", "right"
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = sizes | {"model_type": "llama", "vocab_size": len(tokenizer), "max_position_embeddings": 256}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    config = transformers.Idefics3Config(
        vision_config=sizes | {"image_size": 32, "patch_size": 8}, text_config=text | ids, scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    edge = {"longest_edge": 32}
    image_processor = transformers.Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    processor = transformers.Idefics3Processor(image_processor, tokenizer, image_seq_len=4, chat_template=CHAT)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def load(tiny_vit: Path, tiny_llama: Path, idefics3: Path) -> Callable[..., tuple[Any, Any]]:
    def load(kind: str, **options: Any) -> tuple[Any, Any]:
        torch.manual_seed(0)
        model = {"checkpoint": str(tiny_vit), "language_model": str(tiny_llama), "connector": kind}
        model = {"checkpoint": str(idefics3)} if kind == "idefics3" else model
        stage = {"name": "all", "trainable": "all", "num_train_epochs": 1, "learning_rate": 1e-3}
        recipe = Recipe(name="x", task="x", data={"builder": "x"}, model=model | options, stages=[stage], metrics=["x"])
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


def random_image(seed: int = 0, size: tuple[int, int] = (32, 32)) -> dict[str, Any]:
    torch.manual_seed(seed)
    return encode(Image.fromarray(torch.randint(0, 256, (*size[::-1], 3), dtype=torch.uint8).numpy()))


def row(
    index: int = 0, turns: tuple[tuple[str, str], ...] = (("Who?", "He."),), num_images: int = 1, **columns: Any
) -> Any:
    """Return a conversation. All images but the last belong to the first question, the last to the last question."""
    messages: list[dict[str, Any]] = []
    for question, answer in turns:
        messages.append({"role": "user", "content": [{"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    for number in range(num_images):
        question_message = messages[0] if number < max(1, num_images - 1) else messages[-2]
        question_message["content"].insert(0, {"type": "image", "text": None})
    images = [random_image(10 * index + number) for number in range(num_images)]
    return {"id": str(index), "messages": messages, "images": images, "group": "a"} | columns


TALK = (("Who?", "He."), ("Which tense is it?", "past simple, I think"), ("And now?", "Ja"))
ROWS = [
    row(0),
    row(1, TALK),
    row(2, TALK[:2], 3),
    row(3, TALK[1:], 2),
    *(row(index, TALK[:1]) for index in range(4, 8)),
]


def decode_labels(batch: Any, processor: Any, index: int = 0) -> str:
    labels = batch["labels"][index]
    text: str = processor.tokenizer.decode(labels[labels != IGNORE_INDEX])
    return text


def test_labels_are_the_answers_with_their_end_tokens(task: ImageTextToTextTask, processor: Any) -> None:
    batch = task.collate(ROWS)
    end = processor.tokenizer.eos_token
    for index, chat_row in enumerate(ROWS):
        answers = [message["content"][0]["text"] for message in chat_row["messages"][1::2]]
        assert decode_labels(batch, processor, index) == "".join(f" {answer}{end}" for answer in answers)
    has_label = batch["labels"] != IGNORE_INDEX
    assert batch["labels"][has_label].equal(batch["input_ids"][has_label])
    assert task.num_items(batch) == int(has_label.sum())


def test_template_without_end_token_gets_one(
    load: Callable[..., tuple[Any, Any]], idefics3: Path, tmp_path: Path
) -> None:
    shutil.copytree(idefics3, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text(CHAT.replace("<end_of_utterance>", ""))  # like that of LLaVA 1.5
    model, processor = load("idefics3", checkpoint=str(tmp_path))
    batch = ImageTextToTextTask(model.config, processor, ImageTextToTextTask.Options()).collate([row(1, TALK)])
    assert decode_labels(batch, processor) == "".join(f" {answer}<end_of_utterance>" for _, answer in TALK)


def test_batch_is_padded_on_the_right(task: ImageTextToTextTask) -> None:
    mask = task.collate(ROWS)["attention_mask"]
    assert mask[:, 0].all() and not mask[:, -1].all()


def test_described_labels_count_the_image_tokens(task: ImageTextToTextTask, processor: Any) -> None:
    text = task.describe_labels(row(1, TALK))
    end = processor.tokenizer.eos_token
    assert f"« He.{end}»" in text and f"« past simple, I think{end}»" in text and text.count("«") == 3
    assert f"<image> x {processor.tokenizer('<image>' * 4)['input_ids'].count(processor.image_token_id)}" in text or (
        text.count("<image>") == 1  # pixel shuffle merges four patches
    )


def gradients(model: Any) -> dict[str, torch.Tensor]:
    clones = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return clones


def test_loss_and_gradient_equal_the_model_for_any_batch_size(task: ImageTextToTextTask, model: Any) -> None:
    batch = task.collate(ROWS)
    items = task.num_items(batch)
    loss = task.loss(model, batch, items)
    loss.backward()
    batch_gradients = gradients(model)
    model_loss = model(**batch).loss
    model_loss.backward()
    model_gradients = gradients(model)
    sum_of_losses = torch.zeros(())
    for start in range(0, 8, 2):
        part = task.loss(model, task.collate(ROWS[start : start + 2]), items)
        part.backward()
        sum_of_losses += part.detach()
    torch.testing.assert_close(loss, model_loss)
    torch.testing.assert_close(loss.detach(), sum_of_losses)
    accumulated_gradients = gradients(model)
    assert batch_gradients.keys() == accumulated_gradients.keys() == model_gradients.keys() and batch_gradients
    for name, gradient in batch_gradients.items():
        torch.testing.assert_close(gradient, accumulated_gradients[name], msg=name, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(gradient, model_gradients[name], msg=name, rtol=1e-4, atol=1e-6)


def test_logits_are_computed_at_the_answers_only(task: ImageTextToTextTask, model: Any) -> None:
    batch, shapes = task.collate(ROWS), []
    head = model.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    task.loss(model, batch, 1)
    hook.remove()
    assert [shape[:-1].numel() for shape in shapes] == [task.num_items(batch)]


def test_each_question_is_predicted_after_the_reference_turns(task: ImageTextToTextTask, model: Any) -> None:
    chat_row = row(1, TALK, 2)
    answers = next(task.predict(model, [chat_row], 1))["prediction"]
    for turn in range(3):
        messages, images = chat_row["messages"][: 2 * turn + 1], chat_row["images"][: 1 + turn // 2]
        shorter = chat_row | {"messages": messages, "images": images}
        assert next(task.predict(model, [shorter], 1))["prediction"] == answers[turn : turn + 1]
    assert len({len(output["prediction"]) for output in task.predict(model, ROWS, 3)}) == 3


def test_trained_model_generates_the_answers_and_stops(load: Callable[..., tuple[Any, Any]]) -> None:
    model, processor = load("mlp")
    task = ImageTextToTextTask(model.config, processor, ImageTextToTextTask.Options())
    rows = [row(0, (("What?", "a b"), ("And?", "no."))), row(1, (("What?", "2"),))]
    batch, optimizer = task.collate(rows), torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        task.loss(model, batch, task.num_items(batch)).backward()
        optimizer.step()
        optimizer.zero_grad()
    predictions = list(task.predict(model.eval(), rows, 2))
    assert [output["prediction"] for output in predictions] == [["a b", "no."], ["2"]]
    assert task.mark_wrong(predictions, [task.reference(chat_row) for chat_row in rows]) == [False, False]


def chats(rows: list[Any]) -> list[Any]:
    return [json.loads(ImageTextToTextTask.input.to_bytes(chat_row)) for chat_row in rows]


@pytest.mark.parametrize("batch_size", [1, 8])
def test_pipeline_of_the_saved_model_equals_predict_without_warnings(
    task: ImageTextToTextTask,
    model: Any,
    processor: Any,
    batch_size: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    task.collate(ROWS)  # a tokenizer is saved after training, with the padding side of its last batch
    model = copy.deepcopy(model)
    with torch.no_grad():  # with the small weights of a new model, all answers are the same
        for weight in model.parameters():
            weight.mul_(6 if weight.ndim > 1 else 1)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    rows = [row(index, TALK[: index % 3 + 1]) for index in range(8)]
    expected = [{"prediction": output["prediction"][-1]} for output in task.predict(model, rows, batch_size)]
    pipe = transformers.pipeline("image-text-to-text", model=str(tmp_path))
    transformers.logging.set_verbosity_warning()
    transformers.logging.enable_propagation()
    try:
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            outputs = pipe(chats(rows), batch_size=batch_size, **task.pipeline_kwargs([]))
    finally:
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_propagation()
    assert [task.parse_pipeline_output(output) for output in outputs] == expected
    assert len(set(map(str, expected))) > 1 and caplog.messages == []
    tokens = pipe(chats(rows[:1]), return_tensors=True)[0][0]["generated_token_ids"]
    prompt = task.generator.encode(chats(rows[:1]), "left", add_generation_prompt=True)["input_ids"]
    assert len(tokens) - prompt.shape[1] <= 12


def test_loaded_image_text_model_decodes_greedily(
    load: Callable[..., tuple[Any, Any]], idefics3: Path, tmp_path: Path
) -> None:
    shutil.copytree(idefics3, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").write_text('{"do_sample": true, "top_k": 7, "eos_token_id": 3}')
    model, processor = load("idefics3", checkpoint=str(tmp_path))
    generation_config = model.generation_config
    assert not generation_config.do_sample and generation_config.top_k is None
    assert (generation_config.max_new_tokens, generation_config.eos_token_id) == (
        64,
        [3, processor.tokenizer.eos_token_id],
    )


def test_stored_chat_keeps_its_images_and_last_question(task: ImageTextToTextTask) -> None:
    chat_row = row(2, TALK, 3)
    restored = task.input.from_bytes(task.input.to_bytes(chat_row))
    expected = [decode(image).tobytes() for image in chat_row["images"]]
    assert [decode(image).tobytes() for image in restored["images"]] == expected
    assert restored["messages"][-1]["content"][-1] == {"type": "text", "text": "And now?"}
    assert restored["messages"][1]["content"] == [{"type": "text", "text": "He."}]
    assert task.input.to_bytes(restored) == task.input.to_bytes(chat_row)


def test_metrics_score_the_answers_by_kind(task: ImageTextToTextTask) -> None:
    rows = [row(0, TALK[:2], kinds=["person", "tense"]), row(1, kinds=["person"])]
    references = [task.reference(chat_row) for chat_row in rows]
    predictions = [{"prediction": ["he", "present"]}, {"prediction": ["She."]}]
    slices = exact_match.row_statistics(task.metric_inputs(predictions), references)
    assert {name: (correct.sum(), total.sum()) for name, (correct, total) in slices.items()} == {
        "": (1, 3),
        "person": (1, 2),
        "tense": (0, 1),
    }
    assert task.mark_wrong([{"prediction": ["HE"]}], references[1:]) == [False]
    assert task.mark_wrong(predictions, references) == [True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [random_image(), random_image(1)]}, "more images than image parts, 2 and 1"),
        ({"images": []}, "fewer images than image parts, 0 and 1"),
        ({"messages": row(0, (("Who?", " "),))["messages"]}, "message 2, an answer, is empty"),
        ({"messages": row()["messages"][:1]}, "there is no answer to learn"),
        ({"messages": row(0, TALK)["messages"][:3]}, "message 3, its last, is a question without an answer"),
        ({"messages": row(0, num_images=0)["messages"], "images": []}, "it has no image"),
        ({"messages": row(0, (("<image> Who?", "He."),))["messages"]}, "one of its texts contains <image>"),
        ({"images": [{"bytes": b"", "path": "a/one.png"}]}, r"one\.png is empty"),
        ({"kinds": ["tense", "person"]}, "it has 2 kinds of questions, but 1 answers"),
    ],
)
def test_validator_rejects_invalid_rows(model: Any, processor: Any, change: dict[str, Any], message: str) -> None:
    validate = ImageTextToTextTask.make_row_validator(vision_language.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    validate(row(kinds=["person"]))
    with pytest.raises(UserError, match=message):
        validate(row() | change)


def test_too_long_row_raises_error_with_token_counts(model: Any, processor: Any, task: ImageTextToTextTask) -> None:
    validate = ImageTextToTextTask.make_row_validator(vision_language.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    shorter = row(0, (("Who?", "x" * 150),), 2)
    shorter["messages"][0]["content"].insert(0, shorter["messages"][0]["content"].pop(0))
    length = task.collate([shorter])["input_ids"].shape[1]
    longer = row(0, (("Who?", "x" * (150 + 256 - length)),), 2)
    validate(longer)
    longer["messages"][1]["content"][0]["text"] += "x"
    with pytest.raises(
        UserError, match=r"it has 257 tokens, (\d) \+ \1 of images and \d+ of text.* reads at most 256"
    ) as error:
        validate(longer)
    numbers = [int(word) for word in str(error.value).replace(",", "").split() if word.isdigit()]
    assert numbers[0] == sum(numbers[1:4])


def test_too_long_prompt_raises_error_with_token_counts(model: Any, processor: Any, task: ImageTextToTextTask) -> None:
    config = copy.deepcopy(model.config)
    prompt_length = task.generator.encode(chats([row(0, TALK)]), "left", add_generation_prompt=True)["input_ids"].shape[
        1
    ]
    config.max_new_tokens = 256 - prompt_length
    ImageTextToTextTask.make_row_validator(vision_language.FAMILY, config, processor, None)(row(0, TALK))  # type: ignore[arg-type]
    config.max_new_tokens += 1
    message = rf"question has {prompt_length} tokens .* may have {257 - prompt_length} \(model\.max_new"
    with pytest.raises(UserError, match=message):
        ImageTextToTextTask.make_row_validator(vision_language.FAMILY, config, processor, None)(row(0, TALK))  # type: ignore[arg-type]


def test_cached_features_replace_images_which_are_not_decoded(task: ImageTextToTextTask, model: Any, kind: str) -> None:
    if kind == "idefics3":
        with pytest.raises(
            UserError, match=r"data\.cache_vision_features is only supported for LLaVA .* this is a 'idefics3' model"
        ):
            vision_tower.vision_tower(model)
        return
    rows = [row(0), row(1, TALK, 3)]
    expected = task.collate(rows)
    model = copy.deepcopy(model)
    vision_tower.accept_precomputed_features(model)
    features = vision_tower.features(model, expected["pixel_values"])
    row_features = features.split([1, 3])
    cached = [chat_row | {"features": values} for chat_row, values in zip(rows, row_features, strict=True)]
    for chat_row in cached:
        chat_row["images"] = [{"bytes": b"not an image", "path": None} for _ in chat_row["images"]]
    batch = task.collate(cached)
    assert batch["input_ids"].equal(expected["input_ids"]) and batch["labels"].equal(expected["labels"])
    assert batch["pixel_values"].equal(features) and features.ndim == 3
    assert task.loss(model, batch, 1).equal(task.loss(model, expected, 1))
    with pytest.raises(UserError, match=r"data\.cache_vision_features: the processor splits an image into tiles"):
        task.collate([cached[0] | {"features": features}])


def test_model_without_chat_template_raises_error(model: Any, processor: Any) -> None:
    template, processor.chat_template = processor.chat_template, None
    try:
        with pytest.raises(UserError, match=r"model\.checkpoint: the model has no chat template"):
            ImageTextToTextTask.make_row_validator(vision_language.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    finally:
        processor.chat_template = template


@pytest.mark.parametrize(
    ("template", "num_turns", "message"),
    [
        (
            "{% for m in messages[-2:] %}" + CHAT.partition("%}")[2],
            3,
            "renders message 2, an answer, differently once others follow",
        ),
        (CHAT.replace("'Assistant:'", "''"), 1, "puts 'Assistant: He.*' where the model has to generate message 2"),
        ("{{ raise_exception('No images here.') }}", 1, r"does not accept this conversation: No images here\."),
    ],
)
def test_unusable_chat_template_raises_error(
    load: Callable[..., tuple[Any, Any]], template: str, num_turns: int, message: str
) -> None:
    model, processor = load("idefics3")
    processor.chat_template = template
    validate = ImageTextToTextTask.make_row_validator(vision_language.FAMILY, model.config, processor, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        validate(row(0, TALK[:num_turns]))


RECIPE = """
name: tutor
task: image_text_to_text
data: {{builder: visual_questions, turns: 1, train: 16, validation: 8, test: 40, size: 32}}
model: {{checkpoint: {vision}, language_model: {language}, max_new_tokens: 8}}
stages:
  - name: align
    trainable: model.multi_modal_projector
    num_train_epochs: 1
    learning_rate: 1.0e-2
    per_device_train_batch_size: 8
  - name: finetune
    trainable: lora
    num_train_epochs: 1
    learning_rate: 1.0e-2
    per_device_train_batch_size: 4
    gradient_accumulation: 2
metrics: [exact_match, token_f1, correction_accuracy]
baselines: [pretrained]
"""


def test_run_trains_two_stages_and_verifies_the_model(
    hfmm: Callable[..., Any], tiny_vit: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    (tmp_path / "tutor.yaml").write_text(RECIPE.format(vision=tiny_vit, language=tiny_llama))
    process = hfmm("run", "tutor.yaml", "--out", "out")
    assert process.returncode == 0, process.stderr
    assert "labels         USER: <image> x 4" in process.stdout and "</s>»" in process.stdout
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["verified"] == {"predictions": 32, "snippet": True}
    assert {"exact_match", "token_f1", "correction_accuracy"} == {record["metric"] for record in results["records"]}
    aligned, finetuned = ({row["module"] for row in stage["modules"] if row["trainable"]} for stage in stages(results))
    assert aligned == {"model.multi_modal_projector"}
    assert finetuned == {"model.multi_modal_projector", "model.language_model"}
    card = (tmp_path / "out/model/README.md").read_text()
    assert "| row | question type | reference | prediction |\n|---|---|---|---|\n| test-" in card
    assert "pipe(text=chat, return_full_text=False)" in card and str(tmp_path.parent) not in card
    output = hfmm("predict", "out/model", "out/model/example.png", "--text", "Who?", "--text", "What?").stdout
    records = [json.loads(line) for line in output.splitlines()]
    assert [record["question"] for record in records] == ["Who?", "What?"]
    assert all("answer" in record for record in records)
    assert "needs texts beside each file" in hfmm("predict", "out/model", "out/model/example.png").stderr


def stages(results: Any) -> Any:
    return results["train"]["stages"]
