"""The attention implementation for training on a CPU: eager for short sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MAX_EAGER_POSITIONS = 300  # up to here the attention weights kept for the backward pass need little memory


def use_eager_attention_if_short(model: Any) -> None:
    """Use eager attention in all parts of the model, unless one attends over more than `MAX_EAGER_POSITIONS` positions.

    The blockwise kernel of `scaled_dot_product_attention` needs little memory, but on a CPU its backward pass is up to
    four times as slow as two matrix products. The results differ only by rounding.
    """
    # A model without an audio or vision tower attends over text only.
    text_length = getattr(model.config, "max_position_embeddings", 0)
    if 0 < max(_tower_lengths(model.config), default=text_length) <= MAX_EAGER_POSITIONS:
        model.set_attn_implementation("eager")


def _tower_lengths(config: Any) -> Iterator[int]:
    """Yield the number of positions that each audio or vision tower attends over."""
    from transformers import PreTrainedConfig

    if num_frames := getattr(config, "max_source_positions", None):
        yield num_frames
    if num_tokens := getattr(config, "image_seq_length", None):
        yield num_tokens  # of a LLaVA model, whose tower may support larger images than it receives
        return
    image_size, patch_size = (getattr(config, name, None) for name in ("image_size", "patch_size"))
    if isinstance(image_size, int) and isinstance(patch_size, int):
        yield (image_size // patch_size) ** 2
    for value in vars(config).values():
        if isinstance(value, PreTrainedConfig):
            yield from _tower_lengths(value)
