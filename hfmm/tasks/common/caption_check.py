"""The checks of an image, its captions and its negative texts before training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from hfmm.data.common.images import decode
from hfmm.data.common.media import read_bytes
from hfmm.errors import UserError


def make_caption_validator(family: Any, config: Any, processor: Any) -> Callable[[Mapping[str, Any]], None]:
    """Return a function that raises UserError for a row that cannot be used.

    The image of a row must decode, and may only repeat with the same captions. A row needs a caption, and none of its
    captions and negative texts may be too long.
    """
    # Rows of one class have the same texts, and most of the time is spent on these.
    check_length = lru_cache(maxsize=1024)(partial(check_text_length, family, config, processor.tokenizer))
    first_rows: dict[bytes, tuple[str, int]] = {}  # id and captions of the first row of each image

    def validate(row: Mapping[str, Any]) -> None:
        decode(row["image"])
        captions = row["captions"]
        if isinstance(captions, str):  # it would be read as a list of characters
            raise UserError(f"its captions are the single text {captions[:40]!r}, not a list of texts")
        if not captions or not all(isinstance(caption, str) and caption.strip() for caption in captions):
            raise UserError("it has no caption" if not captions else "one of its captions is empty")
        check_length("caption", tuple(captions))
        negatives = row.get("negatives")
        if isinstance(negatives, list):  # it may hold anything if no negative texts are drawn
            check_length("negative text", tuple(text for text in negatives if isinstance(text, str)))
        digest = hashlib.blake2b(read_bytes(row["image"])).digest()
        captions_hash = hash(frozenset(captions))  # the captions of all rows might not fit into memory
        first_id, first_hash = first_rows.setdefault(digest, (row["id"], captions_hash))
        if captions_hash != first_hash:
            raise UserError(
                f"its image is the same as that of row {first_id}, but the captions differ, so each caption would "
                "count as wrong for the other row. Put all captions of an image into one list"
            )

    return validate


def check_text_length(family: Any, config: Any, tokenizer: Any, kind: str, texts: Sequence[str]) -> None:
    """Raise UserError for a text that has more tokens than the text tower reads."""
    max_tokens = family.max_text_tokens(config, tokenizer)
    for text, ids in zip(texts, tokenizer(list(texts))["input_ids"] if texts else (), strict=True):
        if len(ids) > max_tokens:
            raise UserError(
                f"the {kind} {text[:40]!r} has {len(ids)} tokens, and the text tower reads at most {max_tokens}"
            )


def negative_texts(row: Mapping[str, Any], count: int) -> Sequence[str]:
    """Return the negative texts of a row, of which ``count`` are drawn; raises UserError if the column is missing.

    The list of a row may be empty.
    """
    if "negatives" not in row or isinstance(row["negatives"], str):
        raise UserError(
            f"task.hard_negatives_per_row: {count} negative texts per row are drawn from a column 'negatives', a list "
            "of texts in each row, but the dataset has no such column. Map your own with data.columns: {negatives: "
            "<your column>}, or set task.hard_negatives_per_row to 0."
        )
    negatives: Sequence[str] = row["negatives"] or ()
    return negatives
