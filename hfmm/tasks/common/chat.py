"""Render and tokenize chats with images, and generate the next message, as `transformers.pipeline` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from hfmm.data.common.messages import Message
from hfmm.models.common.batch import to_model_device

Chat = list[Message]  # with each image in its part: {"type": "image", "image": image}


class ChatGenerator:
    """Tokenizes chats with the processor of a checkpoint, and generates answers."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._image_token_counts: dict[tuple[int, int], int] = {}

    def encode(
        self, chats: Sequence[Chat], padding_side: str, add_generation_prompt: bool = False, **processor_kwargs: Any
    ) -> dict[str, Any]:
        """Return the inputs of the model: tokens `(batch_size, sequence_length)` and pixels.

        Args:
            chats: The chats.
            padding_side: ``left`` or ``right``.
            add_generation_prompt: Whether each chat ends with the start of an answer.
            processor_kwargs: Further arguments of the processor.
        """
        batch = self.processor.apply_chat_template(
            list(chats),
            add_generation_prompt=add_generation_prompt,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": padding_side, **processor_kwargs},
        )
        return dict(batch)

    def generate(self, model: Any, chats: Sequence[Chat]) -> list[str]:
        """Return the next message of each chat, generated with the generation config of the model."""
        import torch

        inputs = to_model_device(self.encode(chats, "left", add_generation_prompt=True), model)
        with torch.inference_mode():
            ids = model.generate(**inputs)
        texts = self.processor.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [text.strip() for text in texts]

    def count_tokens(self, text: str, images: Sequence[Image.Image]) -> tuple[int, list[int]]:
        """Return the number of text tokens of a rendered conversation, and the number of image tokens of each image."""
        tokenizer = self.processor.tokenizer
        has_bos = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
        num_text_tokens = len(tokenizer(text, add_special_tokens=not has_bos)["input_ids"]) - len(images)
        return num_text_tokens, [self._count_image_tokens(image.size) for image in images]

    def _count_image_tokens(self, size: tuple[int, int]) -> int:
        """Return the number of tokens of an image, which depends only on its width and height."""
        if size not in self._image_token_counts:
            token = self.processor.image_token
            ids = self.processor(images=[Image.new("RGB", size)], text=[token])["input_ids"][0]
            self._image_token_counts[size] = len(ids) - len(self.processor.tokenizer(token)["input_ids"]) + 1
        return self._image_token_counts[size]
