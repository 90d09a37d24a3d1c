"""How attention is computed while a model trains on a processor: written out where sequences are short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MAX_EAGER_POSITIONS = 300  # positions up to which the matrix of weights, kept for the gradient, costs little memory


def use_eager_attention_if_short(model: Any) -> None:
    """Have every tower write its attention weights out, unless one attends over more than `SHORT` positions.

    The blockwise kernel of torch's scaled_dot_product_attention keeps memory small, but on processors its gradient is
    up to four times as slow as the two matrix products. The results differ by rounding alone.
    """
    # A model that neither hears nor sees attends over text alone.
    text = getattr(model.config, "max_position_embeddings", 0)
    if 0 < max(_positions(model.config), default=text) <= MAX_EAGER_POSITIONS:
        model.set_attn_implementation("eager")


def _positions(config: Any) -> Iterator[int]:
    """Yield how many positions each tower of sound or pictures attends over."""
    from transformers import PreTrainedConfig

    if frames := getattr(config, "max_source_positions", None):
        yield frames
    if tokens := getattr(config, "image_seq_length", None):
        yield tokens  # of a LLaVA, whose tower may have been made for larger pictures than it is given
        return
    size, patch = (getattr(config, name, None) for name in ("image_size", "patch_size"))
    if isinstance(size, int) and isinstance(patch, int):
        yield (size // patch) ** 2
    for part in vars(config).values():
        if isinstance(part, PreTrainedConfig):
            yield from _positions(part)
