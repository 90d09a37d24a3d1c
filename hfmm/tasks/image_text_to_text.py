"""Conversations about pictures: a model that sees is asked, and learns what it should have said."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Features
from PIL import Image

from hfmm.data.common.images import decode, decode_rows, encode
from hfmm.data.common.messages import normalize_messages
from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.recipe.validation import StrictModel
from hfmm.tasks.common import conversation_check, conversation_task
from hfmm.tasks.common.assistant_masks import answer_spans, highlight_labels, mask_non_answers
from hfmm.tasks.common.chat import Chat, ChatGenerator

PNG = "data:image/png;base64,"
PLACEHOLDER_IMAGE = Image.new("RGB", (1, 1))


class ImageTextToTextTask:
    """Cross-entropy over the tokens of the answers, each token of a step weighing the same.

    All answers of a conversation train. Each of its questions is predicted by itself, asked after the turns that stand
    before it in the data, the assistant's included: a wrong answer does not spoil the next.
    """

    auto_class = "AutoModelForImageTextToText"
    pipeline_tag = "image-text-to-text"
    modality = "chat"
    required_columns = ("id", "messages", "images", "group")
    target_columns = ("messages", "images", "kinds", "text", "verb", "error")
    random_per_epoch = False
    uses_in_batch_negatives = False
    outputs_scores = False
    accepts_cached_features = True
    example_prompts = ("What is this?",)
    num_grad_cache_chunks = 1

    reference = staticmethod(conversation_task.reference)
    num_items = staticmethod(conversation_task.num_items)
    loss = staticmethod(conversation_task.loss)
    is_wrong = staticmethod(conversation_task.wrong)
    parse_pipeline_output = staticmethod(conversation_task.from_pipeline)
    expected_pipeline_output = staticmethod(conversation_task.expected)
    format_predictions = staticmethod(conversation_task.format_answers)

    class Options(StrictModel):
        """This task has no options of its own."""

    def __init__(self, config: Any, processor: Any, options: Options) -> None:
        self.options, self.processor, self.speaker = options, processor, ChatGenerator(processor)

    @staticmethod
    def make_row_validator(config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return what raises UserError for a conversation that cannot be read whole or has nothing to learn.

        Raises UserError itself for a model without a chat template.
        """
        return conversation_check.make_conversation_validator(config, processor)

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[Row]:
        """Return a row for each question about one image file."""
        image = {"path": path, "bytes": None}
        chats = [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}] for text in texts]
        return [{"id": path, "messages": chat, "images": [image], "group": path} for chat in chats]

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``input_ids`` and what else the model reads, and ``labels`` (rows, length): the tokens of answers."""
        chats = [_to_chat(row) for row in rows]  # of blank pictures where their features are known
        more = {"return_offsets_mapping": True, "return_text_replacement_offsets": True}
        batch = self.speaker.encode(chats, "right", **more)
        offsets, grown = batch.pop("offset_mapping"), batch.pop("text_replacement_offsets")
        places = [answer_spans(self.processor, chat)[1] for chat in chats]
        if known := [row["features"] for row in rows if "features" in row]:
            batch["pixel_values"] = _substitute_features(batch["pixel_values"], known)
        return {**batch, "labels": mask_non_answers(batch["input_ids"], offsets, places, grown)}

    def describe_labels(self, row: Row) -> str:
        """Return the row as the model reads it, what it learns of that in «»."""
        return highlight_labels(self.processor.tokenizer, self.collate([row]), self.processor.image_token)

    def on_step_end(self, model: Any) -> dict[str, float]:
        """Do nothing: any weights will do."""
        return {}

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[dict[str, Any]]:
        """Return the answers to the questions of each row, or to its last, where that has no answer yet.

        Where the data has the answers, with the ``nats`` by which they surprise the model and their ``tokens``.
        """
        return conversation_task.predict_conversations(
            rows,
            batch_size,
            _to_chat,
            lambda asked: self.speaker.generate(model, asked),
            lambda some: conversation_task.answer_nll(model, self.collate(some)),
        )

    def metric_inputs(self, predictions: Sequence[Row]) -> Sequence[Row]:
        """Return the answers with what was noted beside them."""
        return predictions

    def extra_logs(self, predictions: Sequence[Row]) -> dict[str, float]:
        """Note nothing."""
        return {}

    @staticmethod
    def input_to_bytes(row: Row) -> bytes:
        """Return the chat up to its last question as the pipeline takes it: JSON, pictures as PNG inside."""
        images = iter(row["images"])
        messages = conversation_task.prompts(normalize_messages(row))[-1]
        for part in (part for message in messages for part in message["content"] if part["type"] == "image"):
            part["url"] = PNG + base64.b64encode(encode(decode(next(images)))["bytes"]).decode()
        return json.dumps(messages, ensure_ascii=False).encode()

    @staticmethod
    def input_from_bytes(stored: bytes) -> Row:
        """Return the row of a stored chat."""
        messages = json.loads(stored)
        urls = [part.pop("url") for message in messages for part in message["content"] if part["type"] == "image"]
        images = [{"bytes": base64.b64decode(url.removeprefix(PNG)), "path": None} for url in urls]
        return {"id": "stored", "messages": messages, "images": images, "group": ""}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the pictures as PNG; the name of the first stands for all."""
        for number, image in enumerate(row["images"]):
            decode(image).save(folder / _numbered_filename("example.png", number))
        return "example.png"

    def usage_snippet(self, model: str, example: str, recorded: Sequence[Row]) -> str:
        """Return the pipeline call that prints the answer to the last question about the example."""
        lines, number = [], 0
        for message in self.input_from_bytes(recorded[0]["input"])["messages"]:
            parts = []
            for part in message["content"]:
                if part["type"] == "image":
                    parts.append(f'{{"type": "image", "url": f"{{model}}/{_numbered_filename(example, number)}"}}')
                    number += 1
                else:
                    parts.append(json.dumps(part, ensure_ascii=False))
            content = "".join(f"            {part},\n" for part in parts)
            lines.append(
                f'    {{\n        "role": "{message["role"]}",\n        "content": [\n{content}        ],\n    }},\n'
            )
        return (
            "from transformers import pipeline\n\n"
            f'model = "{model}"  # the folder that holds this card\n'
            f'speaker = pipeline("{self.pipeline_tag}", model=model)\n'
            f"chat = [\n{''.join(lines)}]\n"
            'print(speaker(text=chat, return_full_text=False)[0]["generated_text"].strip())'
        )

    def expected_snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the answer that the snippet prints."""
        text: str = next(self.predict(model, [self.input_from_bytes(recorded[0]["input"])], 1))["prediction"][-1]
        return text

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Ask for the answer alone; where it ends the saved generation settings say."""
        return {"return_full_text": False}


def _to_chat(row: Row) -> Chat:
    """Return the messages of a row with its pictures in their places; raises UserError like `decode`, naming it."""
    if "features" in row:
        pictures = iter([PLACEHOLDER_IMAGE] * len(row["images"]))
    else:
        pictures = iter(decode_rows({"id": row["id"], "image": image} for image in row["images"]))
    messages = normalize_messages(row)
    for part in (part for message in messages for part in message["content"] if part["type"] == "image"):
        part["image"] = next(pictures)
    return messages


def _substitute_features(pixels: Any, features: Sequence[Any]) -> Any:
    """Return features (pictures, tokens, width) for the pixels of as many; raises UserError where these are tiles."""
    import torch

    seen = torch.cat(list(features))
    if len(seen) != len(pixels):
        raise UserError(
            "data.cache_vision_features: the processor cuts a picture into tiles, as many as its size asks for, so features "
            "cannot take its place. Set it to false."
        )
    return seen


def _numbered_filename(name: str, number: int) -> str:
    """Return the file name of one of several pictures: example.png, example-2.png and so on."""
    stem, _, ending = name.partition(".")
    return f"{stem}-{number + 1}.{ending}" if number else name


TASK = ImageTextToTextTask
