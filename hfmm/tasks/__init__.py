"""One task a file: how its rows become a batch, a loss, and predictions.

A task module has a class `Task` with the members of the protocol below; `hfmm.tasks.NAME` is what a
recipe's `task: NAME` means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from datasets import Features

from hfmm import parts
from hfmm.errors import UserError

Row = Mapping[str, Any]
Prediction = dict[str, Any]  # "prediction" as the metrics read it, and what verify compares besides


class TaskProtocol(Protocol):
    """What the spine knows of a task."""

    auto_class: ClassVar[str]
    pipeline_tag: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]

    def __init__(self, config: Any, processor: Any) -> None: ...

    @staticmethod
    def check(row: Row, features: Features) -> None:
        """Raise UserError when the row cannot be used."""

    @staticmethod
    def row_from_file(path: str) -> Row:
        """Return the row of one input file, for `hfmm predict`."""

    def reference(self, row: Row) -> Any:
        """Return what a perfect prediction of the row would be."""

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the batch of tensors."""

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return how many items the loss of a batch sums over."""

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the summed loss of the batch divided by ``num_items``."""

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[Prediction]:
        """Yield one prediction a row, in the order of the rows."""

    @staticmethod
    def to_stored(row: Row) -> bytes:
        """Return the row's input as bytes, for predictions.parquet."""

    @staticmethod
    def from_stored(stored: bytes) -> Row:
        """Return the row of a stored input."""

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the row's input as a file that anyone can open, and return its name."""

    def snippet(self, model: str, example: str) -> str:
        """Return the lines of Python that load the model with plain transformers and print its guess."""

    def snippet_output(self, model: Any, row: Row) -> str:
        """Return what the snippet prints for the row; verify runs it and compares."""

    def pipeline_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the pipeline call whose output `from_pipeline` reads."""

    def from_pipeline(self, output: Any) -> Prediction:
        """Return the prediction in what `transformers.pipeline` gave for a row."""


def resolve(name: str, where: str = "task") -> type[TaskProtocol]:
    """Return the task class of that name; raises UserError for an unknown one."""
    task: type[TaskProtocol] = parts.find("tasks", name, "Task", where).Task
    return task


def for_pipeline_tag(tag: str) -> type[TaskProtocol]:
    """Return the task whose models carry a pipeline tag; raises UserError when none does."""
    tasks: list[type[TaskProtocol]] = [module.Task for name, module in parts.modules("tasks", "Task").items()]
    for task in tasks:
        if task.pipeline_tag == tag:
            return task
    raise UserError(
        f"No task of hfmm serves {tag!r} models; it serves {', '.join(task.pipeline_tag for task in tasks)}."
    )
