"""The base class of the tasks: what hfmm asks of a task, in three blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from datasets import DatasetDict, Features
from pydantic import BaseModel

from hfmm import models
from hfmm.data.common.rows import Row
from hfmm.data.common.screening import InvalidRow, drop_invalid_rows, require_columns
from hfmm.models.common.batch import IGNORE_INDEX
from hfmm.models.common.family import ModelFamily
from hfmm.recipe.validation import StrictModel
from hfmm.tasks.common.inputs import Input

BATCH_SIZE = 32  # for scoring, verification and prediction: logits change a little with the batch size

Batch = Mapping[str, Any]
Prediction = dict[str, Any]  # what a task predicts for a row: columns of predictions.parquet
RecordedPrediction = Mapping[str, Any]  # a row of predictions.parquet


class NoOptions(StrictModel):
    """This task has no options."""


class BaseTask(ABC):
    """What hfmm asks of a task: how rows become a batch, a loss and predictions.

    Ten members must be written: `auto_classes`, `pipeline_tag`, `required_columns`, `input`, `collate`, `loss`,
    `predict`, `reference`, `pipeline_call` and `parse_pipeline_output`. The others have defaults. A task module defines
    the class and names it: ``TASK = MyTask``.

    Args:
        config: The config of the model.
        processor: The processor of the model.
        options: The checked `Options` of the task.
        family: The family of the model; by default the one of hfmm that supports it.

    Example:
        >>> from hfmm.tasks.image_classification import TASK
        >>> TASK.pipeline_tag, TASK.input.modality
        ('image-classification', 'image')
    """

    auto_classes: ClassVar[tuple[str, ...]]
    """The Auto classes of transformers that the task trains, in order of preference."""
    pipeline_tag: ClassVar[str]
    """The task of `transformers.pipeline` that serves the saved model."""
    required_columns: ClassVar[tuple[str, ...]]
    """The columns that a dataset must have."""
    input: ClassVar[type[Input]]
    """What the model is given, by modality: `ImageInput`, `AudioInput`, `ChatInput` or `TextInput`."""
    Options: ClassVar[type[BaseModel]] = NoOptions
    """What a recipe's ``task`` takes besides its name."""

    def __init__(self, config: Any, processor: Any, options: Any, family: ModelFamily | None = None) -> None:
        self.config, self.processor, self.options = config, processor, options
        self._family = family
        self.num_grad_cache_chunks = 1  # forward passes of a batch, for a loss with in-batch negatives

    @property
    def family(self) -> Any:
        """The family of the model."""
        if self._family is None:
            self._family, _ = models.find_family(self.config.model_type, self.auto_classes, "the model")
        return self._family

    # Training

    random_per_epoch: ClassVar[bool] = False
    """`collate` draws at random, and draws again in each epoch. Rows then have the column ``draw``."""
    uses_in_batch_negatives: ClassVar[bool] = False
    """The loss compares the rows of a step, so that accumulated batches must go through it as one batch."""
    accepts_cached_features: ClassVar[bool] = False
    """`collate` takes the vision features of a row, in its column ``features``, in place of its images."""

    @classmethod
    def make_row_validator(cls, family: Any, config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return a function that raises UserError for a row that cannot be used. Default: its input must decode.

        Args:
            family: The family of the model.
            config: The config of the checkpoint, before the head is changed.
            processor: The processor of the model.
            features: The features of the dataset.
        """
        return lambda row: cls.input.validate(row)

    @classmethod
    def drop_invalid_rows(
        cls, family: Any, config: Any, processor: Any, splits: DatasetDict, on_invalid_row: Literal["error", "skip"]
    ) -> tuple[DatasetDict, list[InvalidRow]]:
        """Return the splits without the rows that `make_row_validator` rejects, and the list of these rows.

        Raises UserError if a column is missing, or if a row is invalid and ``on_invalid_row`` is "error".
        """
        require_columns(cls.required_columns, splits)
        features = next(iter(splits.values())).features
        return drop_invalid_rows(cls.make_row_validator(family, config, processor, features), splits, on_invalid_row)

    @abstractmethod
    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the batch of tensors of some rows, with ``labels``."""

    @abstractmethod
    def loss(self, model: Any, batch: Batch, num_items: Any) -> Any:
        """Return the summed loss of the batch divided by ``num_items``, the items of the whole step."""

    def num_items(self, batch: Batch) -> int:
        """Return how many items the loss of a batch sums over. Default: the labels that are not ignored."""
        return int((batch["labels"] != IGNORE_INDEX).sum())

    def describe_labels(self, row: Row) -> str:
        """Return what the model learns from a row, as text that is printed once before training."""
        return repr(self.reference(row))

    def on_step_end(self, model: Any) -> dict[str, float]:
        """Apply constraints to the parameters after an optimizer step, and return extra values to log."""
        return {}

    # Scoring

    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    """The metrics of `hfmm evaluate MODEL --data PATH`, the primary metric first."""

    @abstractmethod
    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[Prediction]:
        """Yield one prediction a row, in the order of the rows."""

    @abstractmethod
    def reference(self, row: Row) -> Any:
        """Return what a perfect prediction of the row is."""

    target_columns: ClassVar[tuple[str, ...]] = ()
    """The columns that `reference` reads, as far as the dataset has them. Default: the required columns."""

    def metric_inputs(self, predictions: Sequence[Prediction]) -> Any:
        """Return the predictions of all rows in the form that the metrics take."""
        return [prediction["prediction"] for prediction in predictions]

    def mark_wrong(self, predictions: Sequence[Prediction], references: Sequence[Any]) -> list[bool]:
        """Return for each row whether its prediction is wrong."""
        return [
            prediction["prediction"] != reference for prediction, reference in zip(predictions, references, strict=True)
        ]

    def extra_logs(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return values to log beside the validation score."""
        return {}

    # The saved model in transformers.pipeline

    outputs_scores: ClassVar[bool] = False
    """The pipeline returns scores, which change with weights in bf16."""
    example_prompts: ClassVar[tuple[str, ...]] = ()
    """Texts that a user may pass beside a file, for hints. Empty for a task that takes files alone."""
    snippet_imports: ClassVar[tuple[str, ...]] = ()
    """Import lines that the snippet needs besides that of the pipeline."""

    @abstractmethod
    def pipeline_call(self, example: str, recorded: Sequence[RecordedPrediction]) -> str:
        """Return the Python lines that call the pipeline ``pipe`` on the example file and print its answer.

        Args:
            example: The name of the example file in the folder ``model``.
            recorded: The recorded predictions of the test split, the first is that of the example.
        """

    @abstractmethod
    def parse_pipeline_output(self, output: Any) -> Prediction:
        """Return the prediction in what `transformers.pipeline` returned for a row."""

    def usage_snippet(self, model: str, example: str, recorded: Sequence[RecordedPrediction]) -> str:
        """Return Python code that loads the model with plain transformers and prints its prediction."""
        imports = "\n".join([*self.snippet_imports, "from transformers import pipeline"])
        return (
            f"{imports}\n\n"
            f'model = "{model}"  # the folder that holds this card\n'
            f'pipe = pipeline("{self.pipeline_tag}", model=model)\n'
            f"{self.pipeline_call(example, recorded)}"
        )

    def pipeline_kwargs(self, recorded: Sequence[RecordedPrediction]) -> dict[str, Any]:
        """Return the keyword arguments with which the pipeline reproduces the recorded predictions."""
        return {}

    def expected_pipeline_output(self, model: Any, recorded: Sequence[RecordedPrediction]) -> list[Prediction]:
        """Return what `parse_pipeline_output` must give for each recorded row."""
        return [{"prediction": row["prediction"]} for row in recorded]

    def expected_snippet_output(self, model: Any, recorded: Sequence[RecordedPrediction]) -> str:
        """Return what the snippet must print. It is predicted again, apart from the pipeline."""
        row = self.input.from_bytes(recorded[0]["input"])
        return str(next(self.predict(model, [row], 1))["prediction"])

    def format_predictions(
        self, model: Any, predictions: Sequence[Prediction], texts: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return what `hfmm predict` prints for each prediction; ``texts`` are those that the user passed."""
        return [dict(prediction) for prediction in predictions]
