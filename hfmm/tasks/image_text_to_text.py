"""Conversations about images: a vision-language model learns to answer questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from datasets import Features
from PIL import Image

from hfmm.data.common.images import decode_rows
from hfmm.data.common.messages import Message, normalize_messages
from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.models.common.family import ModelFamily
from hfmm.tasks.common import conversation_check
from hfmm.tasks.common.assistant_masks import answer_spans, highlight_labels, mask_non_answers
from hfmm.tasks.common.chat import Chat, ChatGenerator
from hfmm.tasks.common.conversation_task import ConversationTask
from hfmm.tasks.common.inputs import ChatInput, numbered_filename

PLACEHOLDER_IMAGE = Image.new("RGB", (1, 1))


class ImageTextToTextTask(ConversationTask):
    """Cross-entropy over the tokens of the answers of a conversation about images."""

    auto_classes = ("AutoModelForImageTextToText",)
    pipeline_tag = "image-text-to-text"
    required_columns = ("id", "messages", "images", "group")
    input = ChatInput
    default_metrics = ("exact_match", "token_f1")
    accepts_cached_features = True
    example_prompts = ("What is this?",)

    def __init__(self, config: Any, processor: Any, options: Any, family: ModelFamily | None = None) -> None:
        super().__init__(config, processor, options, family)
        self.generator = ChatGenerator(processor)

    @classmethod
    def make_row_validator(cls, family: Any, config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return a function that raises UserError for a conversation that is too long or has nothing to learn.

        Raises UserError itself for a model without a chat template.
        """
        return conversation_check.make_conversation_validator(config, processor)

    def to_chat(self, row: Row) -> Chat:
        """Return the messages of a row with the images in their places; raises UserError for one that does not decode.

        Rows with cached features get placeholder images.
        """
        if "features" in row:
            images = iter([PLACEHOLDER_IMAGE] * len(row["images"]))
        else:
            images = iter(decode_rows({"id": row["id"], "image": image} for image in row["images"]))
        messages: list[Message] = normalize_messages(row)
        for part in (part for message in messages for part in message["content"] if part["type"] == "image"):
            part["image"] = next(images)
        return messages

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the inputs of the model and ``labels`` `(batch_size, sequence_length)`: the tokens of the answers."""
        chats = [self.to_chat(row) for row in rows]
        offset_kwargs = {"return_offsets_mapping": True, "return_text_replacement_offsets": True}
        batch = self.generator.encode(chats, "right", **offset_kwargs)
        offsets, expanded_images = batch.pop("offset_mapping"), batch.pop("text_replacement_offsets")
        spans = [answer_spans(self.processor, chat)[1] for chat in chats]
        if features := [row["features"] for row in rows if "features" in row]:
            batch["pixel_values"] = _substitute_features(batch["pixel_values"], features)
        return {**batch, "labels": mask_non_answers(batch["input_ids"], offsets, spans, expanded_images)}

    def describe_labels(self, row: Row) -> str:
        """Return the row as the model reads it, with the parts that it learns in «»."""
        return highlight_labels(self.processor.tokenizer, self.collate([row]), self.processor.image_token)

    def generate(self, model: Any, chats: Sequence[list[Message]]) -> list[str]:
        """Return the answer of the model to the last question of each conversation."""
        return self.generator.generate(model, chats)

    def pipeline_call(self, example: str, recorded: Sequence[Row]) -> str:
        """Return the call that prints the answer to the last question about the example."""
        lines, image_index = [], 0
        for message in self.input.from_bytes(recorded[0]["input"])["messages"]:
            parts = []
            for part in message["content"]:
                if part["type"] == "image":
                    parts.append(f'{{"type": "image", "url": f"{{model}}/{numbered_filename(example, image_index)}"}}')
                    image_index += 1
                else:
                    parts.append(json.dumps(part, ensure_ascii=False))
            content = "".join(f"            {part},\n" for part in parts)
            lines.append(
                f'    {{\n        "role": "{message["role"]}",\n        "content": [\n{content}        ],\n    }},\n'
            )
        return (
            f'chat = [\n{"".join(lines)}]\nprint(pipe(text=chat, return_full_text=False)[0]["generated_text"].strip())'
        )

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Ask for the answer without the prompt. The saved generation config sets its length."""
        return {"return_full_text": False}


def _substitute_features(pixel_values: Any, features: Sequence[Any]) -> Any:
    """Return the features `(num_images, num_tokens, hidden_size)` in place of the pixels of as many images.

    Raises UserError if the processor splits images into tiles.
    """
    import torch

    stacked = torch.cat(list(features))
    if len(stacked) != len(pixel_values):
        raise UserError(
            "data.cache_vision_features: the processor splits an image into tiles, and the number of tiles depends on "
            "its size, so features cannot be cached. Set it to false."
        )
    return stacked


TASK = ImageTextToTextTask
