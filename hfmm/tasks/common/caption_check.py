"""What is asked of a picture, its captions and the wrong texts beside them before any training starts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from hfmm.data.common.images import decode
from hfmm.data.common.media import read_bytes
from hfmm.errors import UserError


def make_caption_validator(family: Any, config: Any, processor: Any) -> Callable[[Mapping[str, Any]], None]:
    """Return what raises UserError for a row that cannot be used.

    Its image does not decode, or is that of an earlier row with other captions; it has no caption; or a caption or a
    wrong text of it is too long.
    """
    # Rows of one class have the same texts, and most time goes into these.
    fit = lru_cache(maxsize=1024)(partial(check_text_length, family, config, processor.tokenizer))
    known: dict[bytes, tuple[str, int]] = {}

    def check(row: Mapping[str, Any]) -> None:
        decode(row["image"])
        captions = row["captions"]
        if isinstance(captions, str):  # which would be read as a list of its letters
            raise UserError(f"its captions are one text, {captions[:40]!r}, and no list of texts")
        if not captions or not all(isinstance(one, str) and one.strip() for one in captions):
            raise UserError("it has no caption" if not captions else "one of its captions is empty")
        fit("caption", tuple(captions))
        wrong = row.get("negatives")
        if isinstance(wrong, list):  # of texts, or of something else where none are drawn from it
            fit("wrong text", tuple(one for one in wrong if isinstance(one, str)))
        file = hashlib.blake2b(read_bytes(row["image"])).digest()
        texts = hash(frozenset(captions))  # the captions of all rows might not fit into memory
        first, others = known.setdefault(file, (row["id"], texts))
        if texts != others:
            raise UserError(
                f"its picture is that of row {first}, which has other captions: each would count as wrong for the "
                "other. Put all captions of a picture into one list"
            )

    return check


def check_text_length(family: Any, config: Any, tokenizer: Any, kind: str, texts: Sequence[str]) -> None:
    """Raise UserError for a text that the text tower would read only in part or not at all."""
    longest = family.max_text_tokens(config, tokenizer)
    for text, ids in zip(texts, tokenizer(list(texts))["input_ids"] if texts else (), strict=True):
        if len(ids) > longest:
            raise UserError(f"the {kind} {text[:40]!r} has {len(ids)} tokens, the text tower takes {longest}")


def negative_texts(row: Mapping[str, Any], wanted: int) -> Sequence[str]:
    """Return the wrong texts of a row of which ``wanted`` are drawn; raises UserError for data without such a column.

    A row may have none.
    """
    if "negatives" not in row or isinstance(row["negatives"], str):
        raise UserError(
            f"task.hard_negatives_per_row: {wanted} wrong texts a row are to be drawn from a column 'negatives', a list of texts in "
            "each row, and the data has no such column. Map yours with data.columns: {negatives: <your column>}, or "
            "set task.hard_negatives_per_row to 0."
        )
    wrong: Sequence[str] = row["negatives"] or ()
    return wrong
