"""Image features of a frozen vision tower: computed once, cached on disk and read in every epoch."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch.utils.data import Dataset

from hfmm.models.common import vision_tower
from hfmm.tasks import BaseTask
from hfmm.utils.distributed import main_process_first
from hfmm.utils.files import atomic_directory, write_json
from hfmm.utils.progress import StepReporter, progress_bar

FEATURES, INDEX = "features.f32", "index.json"
ROWS_PER_BATCH = 8  # rows whose images are encoded together


class CachedFeatureDataset(Dataset[dict[str, Any]]):
    """Rows with the cached ``features`` of their images, float32, `(num_images, num_tokens, hidden_size)`.

    The features are memory-mapped, so they are never loaded as a whole.
    """

    def __init__(self, rows: Any, folder: Path) -> None:
        self.rows, self.path = rows, folder / FEATURES
        index = json.loads((folder / INDEX).read_text())
        self.ends, self.shape = np.cumsum([0, *index["pictures"]]), (sum(index["pictures"]), *index["shape"])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """Return the rows of a batch with a single read. Called by the data loader."""
        # Mapped again for each batch: a map that is passed to a worker process would be copied completely.
        mapped = np.memmap(self.path, np.float32, "r", shape=self.shape)
        features = [torch.from_numpy(np.array(mapped[self.ends[index] : self.ends[index + 1]])) for index in indices]
        rows = self.rows.__getitems__(indices)
        return [row | {"features": row_features} for row, row_features in zip(rows, features, strict=True)]


def with_cached_features(model: Any, task: BaseTask, rows: Any, folder: Path, bf16: bool, report: StepReporter) -> Any:
    """Return the rows with the cached features of their images.

    If any parameter of the vision tower is trainable, return the rows unchanged, because the features change at every
    step. Otherwise the model takes features instead of images from now on. They are computed in evaluation mode,
    without dropout, in the precision of the stage, and are stored below ``folder`` under the digest of the tower's
    weights. Raises UserError for a model whose features are not extracted as in LLaVA.
    """
    tower = vision_tower.vision_tower(model)
    if any(parameter.requires_grad for parameter in tower.parameters()):
        report("features", "of images are recomputed at every step, because the vision tower is trainable")
        return rows
    cache_folder = folder / _digest(tower)
    with main_process_first():
        if not cache_folder.is_dir():
            with atomic_directory(cache_folder) as temporary:
                _write(model, task, rows, temporary, bf16)
    vision_tower.accept_precomputed_features(model)
    dataset = CachedFeatureDataset(rows, cache_folder)
    size_mb = dataset.path.stat().st_size / 1e6
    report("features", f"of {dataset.shape[0]:,} images are read from disk, {size_mb:,.1f} MB")
    return dataset


def _write(model: Any, task: BaseTask, rows: Any, folder: Path, bf16: bool) -> None:
    device = PartialState().device
    model.to(device).eval()
    image_counts: list[int] = []
    with (
        (folder / FEATURES).open("wb") as file,
        torch.no_grad(),
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):
        remaining = progress_bar(rows, "encode images", len(rows))
        while batch := list(islice(remaining, ROWS_PER_BATCH)):
            pixels = [task.collate([row])["pixel_values"] for row in batch]
            image_counts += map(len, pixels)
            features = vision_tower.features(model, torch.cat(pixels).to(device)).float()
            file.write(features.cpu().numpy().tobytes())
    write_json(folder / INDEX, {"pictures": image_counts, "shape": list(features.shape[1:])})


def _digest(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
