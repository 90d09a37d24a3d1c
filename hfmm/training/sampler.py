"""The order of rows for a loss that compares them: no two of a group in one batch, and each epoch its own draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset, Sampler

LOOK_AHEAD = 8  # batches that are searched for rows of other groups, so that few groups do not cost quadratic time


class EpochSeedDataset(Dataset[dict[str, Any]]):
    """Rows with the seed and epoch in which they are drawn: row i of epoch e is number e * len(rows) + i."""

    def __init__(self, rows: Any, seed: int) -> None:
        self.rows, self.seed = rows, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: list[int]) -> list[dict[str, Any]]:
        """Return the rows of a batch, read in one go; the data loader calls this."""
        places = [divmod(number, len(self.rows)) for number in numbers]
        rows = self.rows.__getitems__([index for _, index in places])
        return [row | {"draw": f"{self.seed}/{epoch}"} for row, (epoch, _) in zip(rows, places, strict=True)]


class NoDuplicateGroupsSampler(Sampler[int]):
    """Yields each epoch's rows, as numbers for `Draws`, so that a batch meets a group twice only at the very end."""

    def __init__(self, groups: Sequence[str], batch_size: int, seed: int) -> None:
        _, self.groups = np.unique(np.asarray(groups), return_inverse=True)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take up an epoch; accelerate calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * len(self)
        waiting = deque(np.random.default_rng([self.seed, self.epoch]).permutation(len(self)).tolist())
        while waiting:
            batch: list[int] = []
            put_off: list[int] = []
            seen: set[int] = set()
            while waiting and len(batch) < self.batch_size and len(put_off) < LOOK_AHEAD * self.batch_size:
                row = waiting.popleft()
                (put_off if self.groups[row] in seen else batch).append(row)
                seen.add(self.groups[row])
            missing = self.batch_size - len(batch)
            waiting.extendleft(reversed(put_off[missing:]))
            yield from (first + row for row in batch + put_off[:missing])
