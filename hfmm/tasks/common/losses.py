"""The loss functions of the tasks: InfoNCE, the SigLIP loss and GradCache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def cosine_similarity(images: Any, texts: Any) -> Any:
    """Return the cosine similarity of each image with each text, `(num_images, num_texts)`, always in fp32."""
    import torch
    from torch.nn import functional

    with torch.autocast(images.device.type, enabled=False):
        return functional.normalize(images.float(), dim=-1) @ functional.normalize(texts.float(), dim=-1).T


def multi_positive_info_nce(logits: Any, positives: Any) -> Any:
    """Return the InfoNCE loss, summed over the rows of ``logits`` and averaged over both directions.

    The target of a row is uniform over its positive texts, and the target of a text is uniform over its positive rows.
    A text without a positive row is only a negative.

    Args:
        logits: The logits, `(batch_size, num_texts)`.
        positives: Booleans of the same shape that are true for matching pairs.
    """
    rows = _soft_cross_entropy(logits, positives.float())
    texts = _soft_cross_entropy(logits.T, positives.T.float())
    return (rows.sum() + texts[positives.any(0)].sum() * len(rows) / positives.any(0).sum()) / 2


def _soft_cross_entropy(logits: Any, positives: Any) -> Any:
    targets = positives / positives.sum(-1, keepdim=True).clamp(min=1)
    return -(targets * logits.log_softmax(-1)).sum(-1)


def siglip_loss(logits: Any, positives: Any) -> Any:
    """Return the binary loss, summed over all pairs of ``logits`` `(batch_size, num_texts)`."""
    from torch.nn import functional

    return -functional.logsigmoid(logits.where(positives, -logits)).sum()


def grad_cache_forward(embed: Callable[[dict[str, Any]], Any], inputs: dict[str, Any], num_chunks: int) -> Any:
    """Return the embeddings of a batch that goes through a tower in chunks.

    Each chunk keeps only its inputs and is computed again in the backward pass. The loss sees every row of the batch,
    while memory holds the activations of one chunk. This is GradCache (Gao et al. 2021, arXiv:2101.06983). The
    gradient is that of the whole batch.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    if num_chunks == 1:
        return embed(inputs)
    chunks = zip(*(value.chunk(num_chunks) for value in inputs.values()), strict=True)
    parts = [dict(zip(inputs, chunk, strict=True)) for chunk in chunks]
    return torch.cat([checkpoint(embed, part, use_reentrant=False) for part in parts])


def length_bucketed_forward(
    embed: Callable[[dict[str, Any]], Any], tokens: dict[str, Any], num_buckets: int = 4
) -> Any:
    """Return the embeddings of texts that go through a tower in buckets of similar length, each with its own padding.

    The tower must ignore the padding after a text. Tokens without an ``attention_mask``, or with padding on the left,
    go through it in one batch: their lengths are unknown, or the tower counts positions from the padding.

    Args:
        embed: The forward pass of the tower.
        tokens: The inputs of the tower, `(num_texts, sequence_length)`.
        num_buckets: The number of buckets.
    """
    import torch

    mask = tokens.get("attention_mask")
    if mask is None or not mask[:, 0].all():
        return embed(tokens)
    lengths = mask.sum(-1)
    order = lengths.argsort(stable=True)
    buckets = [(rows, int(lengths[rows].max())) for rows in order.chunk(num_buckets)]
    embeddings = [embed({name: value[rows, :length] for name, value in tokens.items()}) for rows, length in buckets]
    return torch.cat(embeddings)[order.argsort()]
