"""Prepare the images of rows for a vision tower, each image once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfmm.data.common.images import decode_rows
from hfmm.data.common.rows import Row
from hfmm.tasks.common.row_cache import RowCache


class ImageBatcher:
    """Calls an image processor as `transformers.pipeline` does, and caches its output."""

    def __init__(self, image_processor: Any) -> None:
        self.image_processor = image_processor
        self.cache = RowCache(self._process, "image")

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``pixel_values`` `(batch_size, num_channels, height, width)` and the processor's other outputs.

        Raises UserError with the id of the row for an image that does not decode.
        """
        import torch

        outputs = self.cache(rows)
        return {name: torch.stack([output[name] for output in outputs]) for name in outputs[0]}

    def _process(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        batch = self.image_processor(images=decode_rows(rows), return_tensors="pt")
        return [{name: values[index] for name, values in batch.items()} for index in range(len(rows))]
