"""Prepare the clips of rows for an audio encoder, each clip once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfmm.data.common.audio import decode_rows
from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.models.common.audio_inputs import check_clip_length, clip_lengths, extract_features, pad_features
from hfmm.tasks.common.row_cache import RowCache


class ClipBatcher:
    """Calls a feature extractor as `transformers.pipeline` does, clip by clip, and caches its output."""

    def __init__(self, config: Any, extractor: Any) -> None:
        self.extractor = extractor
        self.min_length, self.max_length = clip_lengths(config, extractor)
        self.cache = RowCache(self._extract, "audio")

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the features and the other outputs of the extractor, each clip padded to the longest.

        Raises UserError with the id of the row for a clip that does not decode, or that is too short or too long.
        """
        return pad_features(self.extractor, self.cache(rows))

    def check_length(self, num_samples: int) -> None:
        """Raise UserError for a clip that the encoder cannot take in full."""
        check_clip_length(num_samples, self.min_length, self.max_length)

    def _extract(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        outputs = []
        for row, clip in zip(rows, decode_rows(rows), strict=True):
            try:
                self.check_length(len(clip))
            except UserError as error:
                raise UserError(f"row {row['id']}: {error}") from None
            outputs.append(extract_features(self.extractor, clip))
        return outputs
