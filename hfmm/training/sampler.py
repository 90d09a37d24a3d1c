"""Sampling for losses that compare rows: no duplicate groups in a batch, and a different seed in each epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset, Sampler

LOOK_AHEAD = 8  # batches searched for rows of other groups; without a limit few groups would take quadratic time


class EpochSeedDataset(Dataset[dict[str, Any]]):
    """Rows with the seed and the epoch they are drawn in. Row i of epoch e has the index ``e * len(rows) + i``."""

    def __init__(self, rows: Any, seed: int) -> None:
        self.rows, self.seed = rows, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """Return the rows of a batch with a single read. Called by the data loader."""
        epochs_and_rows = [divmod(index, len(self.rows)) for index in indices]
        rows = self.rows.__getitems__([row for _, row in epochs_and_rows])
        return [row | {"draw": f"{self.seed}/{epoch}"} for row, (epoch, _) in zip(rows, epochs_and_rows, strict=True)]


class NoDuplicateGroupsSampler(Sampler[int]):
    """Samples row indices so that no batch contains two rows of the same group.

    Only the last batches may contain duplicates, when this is unavoidable. The indices are those of `EpochSeedDataset`.
    """

    def __init__(self, groups: Sequence[str], batch_size: int, seed: int) -> None:
        _, self.groups = np.unique(np.asarray(groups), return_inverse=True)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch. Called by accelerate."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[int]:
        offset = self.epoch * len(self)
        waiting = deque(np.random.default_rng([self.seed, self.epoch]).permutation(len(self)).tolist())
        while waiting:
            batch: list[int] = []
            postponed: list[int] = []
            batch_groups: set[int] = set()
            while waiting and len(batch) < self.batch_size and len(postponed) < LOOK_AHEAD * self.batch_size:
                row = waiting.popleft()
                (postponed if self.groups[row] in batch_groups else batch).append(row)
                batch_groups.add(self.groups[row])
            missing = self.batch_size - len(batch)
            waiting.extendleft(reversed(postponed[missing:]))
            yield from (offset + row for row in batch + postponed[:missing])
