"""Chats with pictures -> tokens -> what is said next: a model that sees, asked as `pipeline` asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from hfmm.data.common.messages import Message
from hfmm.models.common.batch import to_model_device

Chat = list[Message]  # its pictures in their places: {"type": "image", "image": picture}


class ChatGenerator:
    """A checkpoint's processor."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._lengths: dict[tuple[int, int], int] = {}

    def encode(self, chats: Sequence[Chat], padding_side: str, answer: bool = False, **more: Any) -> dict[str, Any]:
        """Return the batch of a model, (chats, length) tokens and their pictures; with ``answer`` it has the turn.

        ``more`` is what else the processor is to return.
        """
        read = self.processor.apply_chat_template(
            list(chats),
            add_generation_prompt=answer,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": padding_side, **more},
        )
        return dict(read)

    def generate(self, model: Any, chats: Sequence[Chat]) -> list[str]:
        """Return what the model says next in each chat, by its own generation settings."""
        import torch

        inputs = to_model_device(self.encode(chats, "left", answer=True), model)
        with torch.inference_mode():
            ids = model.generate(**inputs)
        said = self.processor.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [text.strip() for text in said]

    def count_tokens(self, text: str, pictures: Sequence[Image.Image]) -> tuple[int, list[int]]:
        """Return how many tokens a conversation as its chat template writes it has beside its pictures, and they."""
        tokenizer = self.processor.tokenizer
        begun = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
        words = len(tokenizer(text, add_special_tokens=not begun)["input_ids"]) - len(pictures)
        return words, [self._length(picture.size) for picture in pictures]

    def _length(self, size: tuple[int, int]) -> int:
        """Return how many tokens a picture takes, which follows from its width and height."""
        if size not in self._lengths:
            token = self.processor.image_token
            both = self.processor(images=[Image.new("RGB", size)], text=[token])["input_ids"][0]
            self._lengths[size] = len(both) - len(self.processor.tokenizer(token)["input_ids"]) + 1
        return self._lengths[size]
