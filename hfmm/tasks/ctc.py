"""Connectionist temporal classification (Graves et al. 2006): texts without times, spelt by frames in their order."""

from __future__ import annotations

from typing import Any


def ctc(logits: Any, labels: Any, end: int) -> Any:
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
