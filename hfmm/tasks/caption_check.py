"""What is asked of a picture, its captions and the wrong texts beside them before any training starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hfmm.data.images import decode
from hfmm.errors import UserError
from hfmm.models import dual_encoder


def checker(config: Any, processor: Any) -> Callable[[Mapping[str, Any]], None]:
    """Return what raises UserError for an image that does not decode, and for captions missing or too long."""
    longest = dual_encoder.longest_text(config, processor.tokenizer)

    def check(row: Mapping[str, Any]) -> None:
        decode(row["image"])
        captions = row["captions"]
        if isinstance(captions, str):  # which would be read as a list of its letters
            raise UserError(f"its captions are one text, {captions[:40]!r}, and no list of texts")
        if not captions or not all(isinstance(one, str) and one.strip() for one in captions):
            raise UserError("it has no caption" if not captions else "one of its captions is empty")
        for caption, ids in zip(captions, processor.tokenizer(list(captions))["input_ids"], strict=True):
            if len(ids) > longest:
                raise UserError(f"the caption {caption[:40]!r} has {len(ids)} tokens, the text tower takes {longest}")

    return check


def wrong_texts(row: Mapping[str, Any], wanted: int) -> Sequence[str]:
    """Return the wrong texts of a row of which ``wanted`` are drawn; raises UserError for data without such a column.

    A row may have none.
    """
    if "negatives" not in row or isinstance(row["negatives"], str):
        raise UserError(
            f"task.negatives: {wanted} wrong texts a row are to be drawn from a column 'negatives', a list of texts in "
            "each row, and the data has no such column. Map yours with data.columns: {negatives: <your column>}, or "
            "set task.negatives to 0."
        )
    wrong: Sequence[str] = row["negatives"] or ()
    return wrong
