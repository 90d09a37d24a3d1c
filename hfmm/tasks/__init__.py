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

from hfmm import registry
from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.recipe.schema import Recipe
from hfmm.recipe.validation import validate

IGNORE_INDEX = -100  # the label of a position at which nothing is to be learnt, as torch and transformers have it
BATCH_SIZE = 32  # of all that is scored, proved or predicted: logits change a little with the batch


Prediction = dict[str, Any]  # what a task says of a row: columns of predictions.parquet
RecordedPrediction = Mapping[str, Any]  # a row of predictions.parquet


class BaseTask(Protocol):
    """What the spine knows of a task."""

    Options: ClassVar[type[BaseModel]]  # what the recipe's `task` takes besides the name
    auto_class: ClassVar[str]
    pipeline_tag: ClassVar[str]
    modality: ClassVar[Literal["image", "audio", "chat", "text"]]  # what the pipeline is given
    required_columns: ClassVar[tuple[str, ...]]
    target_columns: ClassVar[tuple[str, ...]]  # the columns that `reference` reads, as far as the data has them
    random_per_epoch: ClassVar[bool]  # what a batch makes of a row is drawn anew in each epoch
    uses_in_batch_negatives: ClassVar[
        bool
    ]  # the loss compares the rows of a step, so that accumulated batches are one batch
    outputs_scores: ClassVar[bool]  # its pipeline answers in numbers, which would be others with weights in bf16
    accepts_cached_features: ClassVar[bool]  # `collate` takes a row's ``features`` in the place of its pictures
    example_prompts: ClassVar[
        tuple[str, ...]
    ]  # what somebody might say beside a file, to choose from or to ask; else nothing
    options: Any  # as it was made with
    num_grad_cache_chunks: int  # in how many forward passes such a batch goes through the model

    def __init__(self, config: Any, processor: Any, options: Any) -> None: ...

    @staticmethod
    def make_row_validator(config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return what raises UserError for a row that cannot be used; ``config`` is the checkpoint's."""

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[Row]:
        """Return the rows of one input file and the texts given beside it, for `hfmm predict`; their id is the path."""

    def reference(self, row: Row) -> Any:
        """Return what a perfect prediction of the row would be."""

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the batch of tensors."""

    def describe_labels(self, row: Row) -> str:
        """Return what the labels of a row say, as the model is to learn it."""

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return how many items the loss of a batch sums over."""

    def on_step_end(self, model: Any) -> dict[str, float]:
        """Mend what the optimizer may not leave as it is, and return what to log besides the loss."""

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the summed loss of the batch divided by ``num_items``."""

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[Prediction]:
        """Yield one prediction a row, in the order of the rows."""

    def metric_inputs(self, predictions: Sequence[Prediction]) -> Any:
        """Return the predictions of all rows as the metrics of this task read them."""

    def extra_logs(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return what to log of the validation rows' predictions besides their score."""

    def format_predictions(
        self, model: Any, predictions: Sequence[Prediction], texts: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return what `hfmm predict` prints for each prediction, ``texts`` being those given beside the files."""

    def is_wrong(self, predictions: Sequence[Prediction], references: Sequence[Any]) -> list[bool]:
        """Tell of each row whether its prediction is a mistake."""

    @staticmethod
    def input_to_bytes(row: Row) -> bytes:
        """Return the row's input as bytes, for predictions.parquet."""

    @staticmethod
    def input_from_bytes(stored: bytes) -> Row:
        """Return the row of a stored input."""

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the row's input as a file that anyone can open, and return its name."""

    def usage_snippet(self, model: str, example: str, recorded: Sequence[RecordedPrediction]) -> str:
        """Return the lines of Python that load the model with plain transformers and print its guess."""

    def expected_snippet_output(self, model: Any, recorded: Sequence[RecordedPrediction]) -> str:
        """Return what the snippet prints for the first recorded row; verify runs it and compares."""

    def pipeline_kwargs(self, recorded: Sequence[RecordedPrediction]) -> dict[str, Any]:
        """Return the keyword arguments of the pipeline call that is to reproduce the recorded rows."""

    def parse_pipeline_output(self, output: Any) -> Prediction:
        """Return what counts in what `transformers.pipeline` gave for a row."""

    def expected_pipeline_output(self, model: Any, recorded: Sequence[RecordedPrediction]) -> list[Prediction]:
        """Return what `from_pipeline` must give for each recorded row, from the recorded predictions."""


def resolve(recipe: Recipe) -> tuple[type[BaseTask], BaseModel]:
    """Return the recipe's task class and its checked options; raises UserError for an unknown one."""
    where = recipe.key_locations.get("task.name", recipe.key_locations.get("task", "recipe"))
    task: type[BaseTask] = registry.get("tasks", recipe.task.name, f"{where}: task").TASK
    return task, validate(task.Options, recipe.task.options, recipe.key_locations, prefix="task")


def references(task: BaseTask, rows: Any) -> list[Any]:
    """Return the reference of each row of a dataset; no column is read that it does not need."""
    return [
        task.reference(row) for row in rows.select_columns([one for one in task.target_columns if one in rows.features])
    ]


def for_pipeline_tag(tag: str) -> type[BaseTask]:
    """Return the task whose models carry a pipeline tag; raises UserError when none does."""
    tasks: list[type[BaseTask]] = [module.TASK for module in registry.load_all("tasks").values()]
    for task in tasks:
        if task.pipeline_tag == tag:
            return task
    raise UserError(
        f"No task of hfmm serves {tag!r} models; it serves {', '.join(task.pipeline_tag for task in tasks)}."
    )
