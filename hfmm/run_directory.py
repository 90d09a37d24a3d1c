"""The run directory: its fixed places, and writing into it so that a reader sees old or new, never half."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hfmm.errors import UserError

COMPLETE = "COMPLETE"  # written last into a folder of many files: without it the folder was broken off


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place once the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")  # several processes may write one file
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its place once the block ends without an error.

    A folder cannot be replaced in one step, so the old one is set aside for the instant between two renames.
    """
    temporary, old = (path.with_name(f".{path.name}.{end}") for end in ("partial", "old"))
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


class RunDirectory:
    """One run on disk; the same places wherever the run came from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recipe = root / "recipe.yaml"
        self.results = root / "results.json"
        self.predictions = root / "predictions.parquet"
        self.log = root / "log.jsonl"
        self.model = root / "model"
        self.adapter = root / "adapter"
        self.int8 = root / "int8"
        self.plots = root / "plots"
        self.samples = root / "samples.png"
        self.checkpoints = root / "checkpoints"
        self.published = root / "published.json"

    @classmethod
    def existing(cls, root: Path) -> RunDirectory:
        """Open a finished or broken-off run; raises UserError where there is none."""
        run = cls(root)
        if not run.recipe.is_file():
            raise UserError(f"{root} is not a run: it holds no recipe.yaml. Give the folder that `hfmm run` wrote.")
        return run

    def read_results(self) -> dict[str, Any]:
        """Return results.json; raises UserError when the run has not been evaluated."""
        if not self.results.is_file():
            raise UserError(
                f"{self.root} has no results.json: the run did not get to its evaluation. "
                f"Finish it with `hfmm run {self.recipe} --resume --out {self.root}`."
            )
        results: dict[str, Any] = json.loads(self.results.read_text(encoding="utf-8"))
        return results

    def update_results(self, **blocks: Any) -> None:
        """Put top-level blocks into results.json and leave the others as they are."""
        results = self.read_results() if self.results.is_file() else {}
        write_json(self.results, {**results, **blocks})
