"""Image classification: one class per row, or one value per attribute with a single multi-label head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from datasets import Features

from hfmm.data.common.images import decode
from hfmm.data.common.labels import is_multi_attribute, label_indices_by_attribute, label_names
from hfmm.data.common.rows import Row, iter_batches
from hfmm.errors import UserError
from hfmm.models.common.batch import image_inputs, to_model_device, unwrap_model
from hfmm.models.common.family import ModelFamily
from hfmm.tasks.base import BaseTask, Prediction
from hfmm.tasks.common.inputs import ImageInput
from hfmm.tasks.common.pixels import ImageBatcher


class ImageClassificationTask(BaseTask):
    """Cross-entropy over the classes, or over the values of each attribute plus binary cross-entropy over all labels.

    The second is ``problem_type="multi_label_classification"`` in transformers. The prediction is the best label of
    each attribute, which the softmax term trains. The pipeline returns the sigmoid of each label, which the binary term
    trains. Rows with ``token_labels`` (the index of a label for each patch, -1 for none) also train the patches through
    the same head (Jiang et al. 2021, arXiv:2104.10858).
    """

    auto_classes = ("AutoModelForImageClassification",)
    pipeline_tag = "image-classification"
    required_columns = ("id", "image", "label", "group")
    target_columns = ("label",)
    input = ImageInput
    outputs_scores = True

    def __init__(self, config: Any, processor: Any, options: Any, family: ModelFamily | None = None) -> None:
        super().__init__(config, processor, options, family)
        self.batcher = ImageBatcher(processor)
        self.names = [config.id2label[index] for index in range(len(config.id2label))]
        self.multi_label = config.problem_type == "multi_label_classification"
        self.attributes = (
            label_indices_by_attribute(self.names) if self.multi_label else {"": list(range(len(self.names)))}
        )

    @classmethod
    def make_row_validator(cls, family: Any, config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return a function that raises UserError for an image that does not decode, and for labels that do not fit.

        A row has one class, or one value of each attribute.
        """
        names, multi_label = label_names(features), is_multi_attribute(features)
        attributes = label_indices_by_attribute(names) if multi_label else {}

        def validate(row: Row) -> None:
            decode(row["image"])
            labels = row["label"] if multi_label else [row["label"]]
            if labels is None or not labels or any(label is None or not 0 <= label < len(names) for label in labels):
                raise UserError(
                    f"the label {row['label']} is not one of the {len(names)} classes (0 to {len(names) - 1})."
                )
            for attribute, indices in attributes.items():
                values = [names[label] for label in labels if label in indices]
                if len(values) != 1:
                    subject, listed = f"attribute {attribute!r}" if attribute else "labels", ", ".join(values) or "none"
                    raise UserError(f"it has {len(values)} values of its {subject} ({listed}), and needs exactly one")

        return validate

    def reference(self, row: Row) -> list[str]:
        """Return the label names of the row."""
        labels = row["label"] if self.multi_label else [row["label"]]
        return [self.names[label] for label in labels]

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``pixel_values`` `(batch_size, num_channels, height, width)` and ``labels``.

        The labels are class indices `(batch_size,)`, or multi-hot `(batch_size, num_labels)`.
        """
        import torch

        batch = image_inputs(self.batcher(rows))
        if self.multi_label:
            batch["labels"] = torch.zeros(len(rows), len(self.names))
            for index, row in enumerate(rows):
                batch["labels"][index, row["label"]] = 1.0
        else:
            batch["labels"] = torch.tensor([row["label"] for row in rows])
        if "token_labels" in rows[0]:
            batch["token_labels"] = torch.tensor([row["token_labels"] for row in rows])
        return batch

    def describe_labels(self, row: Row) -> str:
        """Return the names of the labels of the row, read from its batch."""
        labels = self.collate([row])["labels"][0]
        return ", ".join(self.names[index] for index in (labels.nonzero()[:, 0] if self.multi_label else [labels]))

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return the number of rows."""
        return len(batch["labels"])

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the cross-entropy of the batch in nats, summed and divided by ``num_items`` rows."""
        from torch.nn import functional

        labels = batch["labels"]
        if "token_labels" in batch:
            logits, token_logits = _with_token_logits(model, batch["pixel_values"], batch["token_labels"].shape[1])
            token_pairs = (token_logits.flatten(0, 1), batch["token_labels"].flatten().long())
            num_token_labels = (batch["token_labels"] >= 0).sum().clamp(min=1)
            # The loss of an image is a sum over its attributes. The mean token has the weight of one image.
            weight = len(self.attributes) * len(labels) / num_token_labels
            total = functional.cross_entropy(*token_pairs, ignore_index=-1, reduction="sum") * weight
        else:
            logits, total = model(**image_inputs(batch)).logits.float(), 0.0
        if not self.multi_label:
            return (total + functional.cross_entropy(logits, labels, reduction="sum")) / num_items
        total = total + functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        for indices in self.attributes.values():
            total = total + functional.cross_entropy(logits[:, indices], labels[:, indices], reduction="sum")
        return total / num_items

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[Prediction]:
        """Yield the class of each row, or its best label of each attribute, with the scores."""
        for batch in iter_batches(rows, batch_size):
            yield from map(self._decode_scores, self._scores(model, batch))

    def pipeline_call(self, example: str, recorded: Sequence[Row]) -> str:
        """Return the call that prints the best labels: one per attribute, and at least three."""
        return (
            f'for guess in pipe(f"{{model}}/{example}", top_k={self._top_k()}):\n'
            "    print(f\"{guess['score']:.2f} {guess['label']}\")"
        )

    def expected_snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the lines that the snippet prints."""
        scores = self._scores(model, [self.input.from_bytes(recorded[0]["input"])])[0]
        best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: self._top_k()]
        return "\n".join(f"{scores[index]:.2f} {self.names[index]}" for index in best)

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Return the arguments that request the scores of all labels."""
        return {"top_k": len(self.names)}

    def parse_pipeline_output(self, output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the prediction from the pipeline's list of ``{"label", "score"}``."""
        scores = {entry["label"]: entry["score"] for entry in output}
        return self._decode_scores([scores[name] for name in self.names])

    def expected_pipeline_output(self, model: Any, recorded: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the recorded labels and scores."""
        return [{"prediction": row["prediction"], "score": row["score"]} for row in recorded]

    def _top_k(self) -> int:
        return min(len(self.names), max(3, len(self.attributes)))

    def _scores(self, model: Any, rows: Sequence[Row]) -> list[list[float]]:
        """Return the scores of all labels for each row, as the pipeline returns them."""
        import torch

        with torch.inference_mode():
            logits = model(**to_model_device(image_inputs(self.batcher(rows)), model)).logits.float()
        scores: list[list[float]] = (logits.sigmoid() if self.multi_label else logits.softmax(-1)).tolist()
        return scores

    def _decode_scores(self, scores: Sequence[float]) -> dict[str, Any]:
        best = [max(indices, key=scores.__getitem__) for indices in self.attributes.values()]
        return {"prediction": [self.names[index] for index in best], "score": [scores[index] for index in best]}


def _with_token_logits(model: Any, pixel_values: Any, num_tokens: int) -> tuple[Any, Any]:
    """Return the logits of the images, and the logits of the same head for their last ``num_tokens`` tokens."""
    inner = unwrap_model(model)  # only to attach the hook: the forward pass must go through the wrapper
    outputs = {}
    hook = inner.base_model.register_forward_hook(lambda module, inputs, output: outputs.update(output))
    try:
        logits = model(pixel_values=pixel_values).logits
    finally:
        hook.remove()
    return logits.float(), inner.classifier(outputs["last_hidden_state"][:, -num_tokens:]).float()


TASK = ImageClassificationTask
