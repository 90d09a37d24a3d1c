"""Pictures of rows -> what a vision tower reads, each picture made ready once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfmm.data.common.images import decode_rows
from hfmm.data.common.rows import Row
from hfmm.tasks.common.row_cache import RowCache


class ImageBatcher:
    """An image processor, called as `pipeline` calls it."""

    def __init__(self, image_processor: Any) -> None:
        self.image_processor = image_processor
        self.kept = RowCache(self._processed, "image")

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``pixel_values`` (rows, channels, height, width), and what else the processor gives.

        Raises UserError for a picture that does not decode, naming the row.
        """
        import torch

        made = self.kept(rows)
        return {name: torch.stack([one[name] for one in made]) for name in made[0]}

    def _processed(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        batch = self.image_processor(images=decode_rows(rows), return_tensors="pt")
        return [{name: values[place] for name, values in batch.items()} for place in range(len(rows))]
