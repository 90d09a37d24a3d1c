"""What a frozen vision tower sees in each picture: computed once, kept on disk, read from there in every epoch."""

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
ROWS_PER_BATCH = 8  # whose pictures go through the tower at a time


class CachedFeatureDataset(Dataset[dict[str, Any]]):
    """Rows with their pictures' ``features`` (pictures, tokens, width), float32, which are mapped, never loaded."""

    def __init__(self, rows: Any, folder: Path) -> None:
        self.rows, self.path = rows, folder / FEATURES
        index = json.loads((folder / INDEX).read_text())
        self.ends, self.shape = np.cumsum([0, *index["pictures"]]), (sum(index["pictures"]), *index["shape"])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: list[int]) -> list[dict[str, Any]]:
        """Return the rows of a batch, read in one go; the data loader calls this."""
        # Mapped anew for each batch: a map that is handed to a worker process would be copied whole.
        features = np.memmap(self.path, np.float32, "r", shape=self.shape)
        found = [torch.from_numpy(np.array(features[self.ends[one] : self.ends[one + 1]])) for one in numbers]
        return [row | {"features": one} for row, one in zip(self.rows.__getitems__(numbers), found, strict=True)]


def with_cached_features(model: Any, task: BaseTask, rows: Any, folder: Path, bf16: bool, report: StepReporter) -> Any:
    """Return the rows with what the tower sees in their pictures, or as they are where it trains and so sees anew.

    The model takes features in the place of pictures from here on. They are those of evaluation, without dropout, in
    the arithmetic of the stage, and lie below ``folder`` under the digest of the tower's weights. Raises UserError for
    a model whose tower is read in another way than LLaVA's.
    """
    tower = vision_tower.vision_tower(model)
    if any(parameter.requires_grad for parameter in tower.parameters()):
        report("features", "of pictures are computed in each step, because the vision tower trains")
        return rows
    place = folder / _digest(tower)
    with main_process_first():
        if not place.is_dir():
            with atomic_directory(place) as temporary:
                _write(model, task, rows, temporary, bf16)
    vision_tower.accept_precomputed_features(model)
    found = CachedFeatureDataset(rows, place)
    size = found.path.stat().st_size / 1e6
    report("features", f"of {found.shape[0]:,} pictures are read from disk, {size:,.1f} MB")
    return found


def _write(model: Any, task: BaseTask, rows: Any, folder: Path, bf16: bool) -> None:
    device = PartialState().device
    model.to(device).eval()
    pictures: list[int] = []
    with (
        (folder / FEATURES).open("wb") as file,
        torch.no_grad(),
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):
        remaining = progress_bar(rows, "see pictures", len(rows))
        while some := list(islice(remaining, ROWS_PER_BATCH)):
            pixels = [task.collate([row])["pixel_values"] for row in some]
            pictures += map(len, pixels)
            features = vision_tower.features(model, torch.cat(pixels).to(device)).float()
            file.write(features.cpu().numpy().tobytes())
    write_json(folder / INDEX, {"pictures": pictures, "shape": list(features.shape[1:])})


def _digest(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
