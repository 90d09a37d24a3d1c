"""One task a file: how its rows become a batch, a loss, and predictions.

A task module has a class `Task` with the members of the protocol below; `hfmm.tasks.NAME` is what a
recipe's `task: NAME` means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from datasets import Features
from pydantic import BaseModel

from hfmm import parts
from hfmm.errors import UserError
from hfmm.recipe import Recipe
from hfmm.strict import validate

UNLABELLED = -100  # the label of a position at which nothing is to be learnt, as torch and transformers have it
BATCH_SIZE = 32  # of all that is scored, proved or predicted: logits change a little with the batch

Row = Mapping[str, Any]
Prediction = dict[str, Any]  # what a task says of a row: columns of predictions.parquet
Recorded = Mapping[str, Any]  # a row of predictions.parquet


class TaskProtocol(Protocol):
    """What the spine knows of a task."""

    Options: ClassVar[type[BaseModel]]  # what the recipe's `task` takes besides the name
    auto_class: ClassVar[str]
    pipeline_tag: ClassVar[str]
    medium: ClassVar[Literal["image", "audio", "chat", "text"]]  # what the pipeline is given
    columns: ClassVar[tuple[str, ...]]
    answers: ClassVar[tuple[str, ...]]  # the columns that `reference` reads, as far as the data has them
    draws: ClassVar[bool]  # what a batch makes of a row is drawn anew in each epoch
    joint: ClassVar[bool]  # the loss compares the rows of a step, so that accumulated batches are one batch
    scores: ClassVar[bool]  # its pipeline answers in numbers, which would be others with weights in bf16
    takes_features: ClassVar[bool]  # `collate` takes a row's ``features`` in the place of its pictures
    texts: ClassVar[tuple[str, ...]]  # what somebody might say beside a file, to choose from or to ask; else nothing
    options: Any  # as it was made with
    passes: int  # in how many forward passes such a batch goes through the model

    def __init__(self, config: Any, processor: Any, options: Any) -> None: ...

    @staticmethod
    def checker(config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return what raises UserError for a row that cannot be used; ``config`` is the checkpoint's."""

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[Row]:
        """Return the rows of one input file and the texts given beside it, for `hfmm predict`; their id is the path."""

    def reference(self, row: Row) -> Any:
        """Return what a perfect prediction of the row would be."""

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the batch of tensors."""

    def taught(self, row: Row) -> str:
        """Return what the labels of a row say, as the model is to learn it."""

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return how many items the loss of a batch sums over."""

    def after_step(self, model: Any) -> dict[str, float]:
        """Mend what the optimizer may not leave as it is, and return what to log besides the loss."""

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the summed loss of the batch divided by ``num_items``."""

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[Prediction]:
        """Yield one prediction a row, in the order of the rows."""

    def for_metrics(self, predictions: Sequence[Prediction]) -> Any:
        """Return the predictions of all rows as the metrics of this task read them."""

    def notes(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return what to log of the validation rows' predictions besides their score."""

    def answer(self, model: Any, predictions: Sequence[Prediction], texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return what `hfmm predict` prints for each prediction, ``texts`` being those given beside the files."""

    def wrong(self, predictions: Sequence[Prediction], references: Sequence[Any]) -> list[bool]:
        """Tell of each row whether its prediction is a mistake."""

    @staticmethod
    def to_stored(row: Row) -> bytes:
        """Return the row's input as bytes, for predictions.parquet."""

    @staticmethod
    def from_stored(stored: bytes) -> Row:
        """Return the row of a stored input."""

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the row's input as a file that anyone can open, and return its name."""

    def snippet(self, model: str, example: str, recorded: Sequence[Recorded]) -> str:
        """Return the lines of Python that load the model with plain transformers and print its guess."""

    def snippet_output(self, model: Any, recorded: Sequence[Recorded]) -> str:
        """Return what the snippet prints for the first recorded row; verify runs it and compares."""

    def pipeline_arguments(self, recorded: Sequence[Recorded]) -> dict[str, Any]:
        """Return the keyword arguments of the pipeline call that is to reproduce the recorded rows."""

    def from_pipeline(self, output: Any) -> Prediction:
        """Return what counts in what `transformers.pipeline` gave for a row."""

    def expected(self, model: Any, recorded: Sequence[Recorded]) -> list[Prediction]:
        """Return what `from_pipeline` must give for each recorded row, from the recorded predictions."""


def resolve(recipe: Recipe) -> tuple[type[TaskProtocol], BaseModel]:
    """Return the recipe's task class and its checked options; raises UserError for an unknown one."""
    where = recipe.origins.get("task.name", recipe.origins.get("task", "recipe"))
    task: type[TaskProtocol] = parts.find("tasks", recipe.task.name, "Task", f"{where}: task").Task
    return task, validate(task.Options, recipe.task.options, recipe.origins, prefix="task")


def references(task: TaskProtocol, rows: Any) -> list[Any]:
    """Return the reference of each row of a dataset; no column is read that it does not need."""
    return [task.reference(row) for row in rows.select_columns([one for one in task.answers if one in rows.features])]


def for_pipeline_tag(tag: str) -> type[TaskProtocol]:
    """Return the task whose models carry a pipeline tag; raises UserError when none does."""
    tasks: list[type[TaskProtocol]] = [module.Task for name, module in parts.modules("tasks", "Task").items()]
    for task in tasks:
        if task.pipeline_tag == tag:
            return task
    raise UserError(
        f"No task of hfmm serves {tag!r} models; it serves {', '.join(task.pipeline_tag for task in tasks)}."
    )
