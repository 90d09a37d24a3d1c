"""Compute the normalized image and text embeddings of a dual encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hfmm.models.common.batch import to_model_device
from hfmm.tasks.base import BATCH_SIZE
from hfmm.tasks.common.pixels import ImageBatcher


class Embedder:
    """Prepares the inputs of a dual encoder with its processor, as `transformers.pipeline` does, and embeds them."""

    def __init__(self, family: Any, config: Any, processor: Any) -> None:
        self.family, self.config, self.processor = family, config, processor
        self.pixels = ImageBatcher(processor.image_processor)

    def tokens(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return the inputs of the text tower, `(num_texts, sequence_length)`."""
        return dict(
            self.processor.tokenizer(list(texts), return_tensors="pt", **self.family.tokenizer_kwargs(self.config))
        )

    def embed_texts(self, model: Any, texts: Sequence[str]) -> np.ndarray:
        """Return normalized embeddings `(num_texts, hidden_size)` in fp32.

        Texts of similar length share a batch, because it is padded to the longest.
        """
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        chunks = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
        batches = [self.tokens([texts[index] for index in chunk]) for chunk in chunks]
        embeddings = np.concatenate([_embed(model, self.family.embed_texts, batch) for batch in batches])
        return embeddings[np.argsort(order)]

    def embed_images(self, model: Any, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Return normalized embeddings `(batch_size, hidden_size)` in fp32."""
        return _embed(model, self.family.embed_images, self.pixels(rows))


def _embed(model: Any, embed: Callable[[Any, dict[str, Any]], Any], inputs: dict[str, Any]) -> np.ndarray:
    import torch
    from torch.nn import functional

    with torch.inference_mode():
        embeddings: np.ndarray = (
            functional.normalize(embed(model, to_model_device(inputs, model)).float(), dim=-1).cpu().numpy()
        )
    return embeddings
