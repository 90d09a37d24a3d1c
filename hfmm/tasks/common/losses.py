"""The loss functions of the tasks: InfoNCE, the SigLIP loss, GradCache and CTC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def cosine_similarity(images: Any, texts: Any) -> Any:
    """Return the cosine of every image (rows) with every text (columns), in fp32 whatever the autocast."""
    import torch
    from torch.nn import functional

    with torch.autocast(images.device.type, enabled=False):
        return functional.normalize(images.float(), dim=-1) @ functional.normalize(texts.float(), dim=-1).T


def multi_positive_info_nce(logits: Any, right: Any) -> Any:
    """Return the summed InfoNCE loss of ``logits`` (rows, texts), the mean of both directions.

    The target of a row is even over its right texts, that of a text even over its right rows; a text that is right
    for no row is a candidate only.
    """
    rows = _soft_cross_entropy(logits, right.float())
    texts = _soft_cross_entropy(logits.T, right.T.float())
    return (rows.sum() + texts[right.any(0)].sum() * len(rows) / right.any(0).sum()) / 2


def _soft_cross_entropy(logits: Any, right: Any) -> Any:
    share = right / right.sum(-1, keepdim=True).clamp(min=1)
    return -(share * logits.log_softmax(-1)).sum(-1)


def siglip_loss(logits: Any, right: Any) -> Any:
    """Return the summed binary loss of every pair in ``logits`` (rows, texts)."""
    from torch.nn import functional

    return -functional.logsigmoid(logits.where(right, -logits)).sum()


def grad_cache_forward(embed: Callable[[dict[str, Any]], Any], inputs: dict[str, Any], passes: int) -> Any:
    """Return the embeddings of a batch that goes through a tower in several passes.

    Each pass keeps its inputs only and is repeated when its gradient is wanted, so the loss sees every row of
    the batch while memory holds the activations of one pass: what GradCache does (Gao et al. 2021,
    arXiv:2101.06983), with the same gradient as the batch in one piece.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    if passes == 1:
        return embed(inputs)
    chunks = zip(*(value.chunk(passes) for value in inputs.values()), strict=True)
    parts = [dict(zip(inputs, chunk, strict=True)) for chunk in chunks]
    return torch.cat([checkpoint(embed, part, use_reentrant=False) for part in parts])


def length_bucketed_forward(embed: Callable[[dict[str, Any]], Any], tokens: dict[str, Any], pieces: int = 4) -> Any:
    """Return the embeddings of texts that go through a tower in pieces of like length, each padded to its own longest.

    ``tokens`` are (texts, length), for a tower that does not read the padding behind a text. Without an
    ``attention_mask``, or with one that begins with padding, they go in one piece: then nothing tells how long they
    are, or the tower counts positions from the padding.
    """
    import torch

    mask = tokens.get("attention_mask")
    if mask is None or not mask[:, 0].all():
        return embed(tokens)
    lengths = mask.sum(-1)
    order = lengths.argsort(stable=True)
    parts = [(rows, int(lengths[rows].max())) for rows in order.chunk(pieces)]
    found = [embed({name: value[rows, :longest] for name, value in tokens.items()}) for rows, longest in parts]
    return torch.cat(found)[order.argsort()]


def ctc_loss(logits: Any, labels: Any, end: int) -> Any:
    """Return minus the log likelihood, in nats and summed over rows, of the text tokens in ``labels``.

    ``logits`` are (rows, frames, vocabulary), ``labels`` (rows, length). Text tokens have the ids below ``end``, which
    is what a frame says that spells nothing.
    """
    import torch
    from torch.nn import functional

    spelt = (labels >= 0) & (labels < end)
    rows, frames, _ = logits.shape
    return functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        labels[spelt],
        torch.full((rows,), frames),
        spelt.sum(-1),
        blank=end,
        reduction="sum",
        zero_infinity=True,  # a text too long for its frames
    )
