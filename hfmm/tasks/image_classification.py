"""Image classification: one class a row, or one value of each of several attributes in one native head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Features

from hfmm.data.common.images import decode
from hfmm.data.common.labels import is_multi_attribute, label_indices_by_attribute, label_names
from hfmm.data.common.media import read_bytes
from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.models.common.batch import image_inputs, to_model_device
from hfmm.recipe.validation import StrictModel
from hfmm.tasks.common.pixels import ImageBatcher


class ImageClassificationTask:
    """Cross-entropy over the classes, or over the values of each attribute plus binary cross-entropy over all labels.

    The second is transformers' ``problem_type="multi_label_classification"``. The prediction is the
    best label of each attribute, which the softmax term trains; the pipeline shows the sigmoid of each
    label, which the binary term trains. Rows with ``token_labels`` (the index of a label for each
    patch, -1 for none) train the patches through the same head as well, after Jiang et al. 2021,
    arXiv:2104.10858.
    """

    auto_class = "AutoModelForImageClassification"
    pipeline_tag = "image-classification"
    modality = "image"
    required_columns = ("id", "image", "label", "group")
    target_columns = ("label",)
    random_per_epoch = False
    uses_in_batch_negatives = False
    outputs_scores = True
    accepts_cached_features = False
    example_prompts: tuple[str, ...] = ()
    num_grad_cache_chunks = 1

    class Options(StrictModel):
        """This task has no options of its own."""

    def __init__(self, config: Any, processor: Any, options: Options) -> None:
        self.pixels, self.options = ImageBatcher(processor), options
        self.names = [config.id2label[index] for index in range(len(config.id2label))]
        self.multi_label = config.problem_type == "multi_label_classification"
        self.attributes = (
            label_indices_by_attribute(self.names) if self.multi_label else {"": list(range(len(self.names)))}
        )

    @staticmethod
    def make_row_validator(config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return what raises UserError for an image that does not decode, and for labels that do not fit the classes.

        A row has one class, or one value of each attribute.
        """
        names, several = label_names(features), is_multi_attribute(features)
        attributes = label_indices_by_attribute(names) if several else {}

        def check(row: Row) -> None:
            decode(row["image"])
            labels = row["label"] if several else [row["label"]]
            if labels is None or not labels or any(label is None or not 0 <= label < len(names) for label in labels):
                raise UserError(
                    f"the label {row['label']} is not one of the {len(names)} classes (0 to {len(names) - 1})."
                )
            for attribute, positions in attributes.items():
                values = [names[label] for label in labels if label in positions]
                if len(values) != 1:
                    what, found = repr(attribute) if attribute else "its labels", ", ".join(values) or "none"
                    raise UserError(
                        f"of {what} it has {len(values)} ({found}), and the model tells exactly one of each"
                    )

        return check

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[Row]:
        """Return the row of one image file."""
        return [{"id": path, "image": {"path": path, "bytes": None}}]

    def reference(self, row: Row) -> list[str]:
        """Return the label names of the row."""
        labels = row["label"] if self.multi_label else [row["label"]]
        return [self.names[label] for label in labels]

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``pixel_values`` (rows, channels, height, width) and ``labels``: (rows) or multi-hot."""
        import torch

        batch = image_inputs(self.pixels(rows))
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
        """Return the names of the labels that the row has in its batch."""
        labels = self.collate([row])["labels"][0]
        return ", ".join(self.names[index] for index in (labels.nonzero()[:, 0] if self.multi_label else [labels]))

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return the number of rows."""
        return len(batch["labels"])

    def on_step_end(self, model: Any) -> dict[str, float]:
        """Do nothing: any weights will do."""
        return {}

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the cross-entropy of the batch in nats, summed and divided by ``num_items`` rows."""
        from torch.nn import functional

        labels = batch["labels"]
        if "token_labels" in batch:
            logits, token_logits = _with_token_logits(model, batch["pixel_values"], batch["token_labels"].shape[1])
            flat = (token_logits.flatten(0, 1), batch["token_labels"].flatten().long())
            shown = (batch["token_labels"] >= 0).sum().clamp(min=1)
            # The picture's loss is a sum over its attributes; the mean token weighs as much as one picture.
            weight = len(self.attributes) * len(labels) / shown
            total = functional.cross_entropy(*flat, ignore_index=-1, reduction="sum") * weight
        else:
            logits, total = model(**image_inputs(batch)).logits.float(), 0.0
        if not self.multi_label:
            return (total + functional.cross_entropy(logits, labels, reduction="sum")) / num_items
        total = total + functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        for positions in self.attributes.values():
            total = total + functional.cross_entropy(logits[:, positions], labels[:, positions], reduction="sum")
        return total / num_items

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[dict[str, Any]]:
        """Yield, for each row, the best label of each attribute (or the class) with its score."""
        iterator = iter(rows)
        while chunk := list(islice(iterator, batch_size)):
            yield from map(self._decode_scores, self._scores(model, chunk))

    def metric_inputs(self, predictions: Sequence[Row]) -> list[list[str]]:
        """Return the label names of each row."""
        return [one["prediction"] for one in predictions]

    def extra_logs(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Note nothing."""
        return {}

    def is_wrong(self, predictions: Sequence[Row], references: Sequence[list[str]]) -> list[bool]:
        """Tell of each row whether any of its labels is wrong."""
        return [one["prediction"] != reference for one, reference in zip(predictions, references, strict=True)]

    @staticmethod
    def input_to_bytes(row: Row) -> bytes:
        """Return the bytes of the image file."""
        return read_bytes(row["image"])

    @staticmethod
    def input_from_bytes(stored: bytes) -> Row:
        """Return the row of a stored image file."""
        return {"id": "stored", "image": {"bytes": stored, "path": None}}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write the picture as PNG."""
        decode(row["image"]).save(folder / "example.png")
        return "example.png"

    def usage_snippet(self, model: str, example: str, recorded: Sequence[Row]) -> str:
        """Return the pipeline call that prints the best labels, as many as there are attributes but three at least."""
        return (
            "from transformers import pipeline\n\n"
            f'model = "{model}"  # the folder that holds this card\n'
            f'classifier = pipeline("{self.pipeline_tag}", model=model)\n'
            f'for guess in classifier(f"{{model}}/{example}", top_k={self._top_k()}):\n'
            "    print(f\"{guess['score']:.2f} {guess['label']}\")"
        )

    def expected_snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the lines that the snippet prints."""
        scores = self._scores(model, [self.input_from_bytes(recorded[0]["input"])])[0]
        best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: self._top_k()]
        return "\n".join(f"{scores[index]:.2f} {self.names[index]}" for index in best)

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Ask for the scores of all labels."""
        return {"top_k": len(self.names)}

    def parse_pipeline_output(self, output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the prediction in the pipeline's list of ``{"label", "score"}``."""
        scores = {one["label"]: one["score"] for one in output}
        return self._decode_scores([scores[name] for name in self.names])

    def expected_pipeline_output(self, model: Any, recorded: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the recorded labels and scores."""
        return [{"prediction": row["prediction"], "score": row["score"]} for row in recorded]

    def format_predictions(self, model: Any, predictions: Sequence[Row], texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the predictions as they are."""
        return list(map(dict, predictions))

    def _top_k(self) -> int:
        return min(len(self.names), max(3, len(self.attributes)))

    def _scores(self, model: Any, rows: Sequence[Row]) -> list[list[float]]:
        """Return, for each row, the score of every label as the pipeline shows it."""
        import torch

        with torch.inference_mode():
            logits = model(**to_model_device(image_inputs(self.pixels(rows)), model)).logits.float()
        scores: list[list[float]] = (logits.sigmoid() if self.multi_label else logits.softmax(-1)).tolist()
        return scores

    def _decode_scores(self, scores: Sequence[float]) -> dict[str, Any]:
        best = [max(positions, key=scores.__getitem__) for positions in self.attributes.values()]
        return {"prediction": [self.names[index] for index in best], "score": [scores[index] for index in best]}


def _with_token_logits(model: Any, pixel_values: Any, tokens: int) -> tuple[Any, Any]:
    """Return the logits of the pictures and those that the same head gives to their last ``tokens`` tokens."""
    inner = getattr(model, "module", model)  # distributed training wraps the model, and must be called itself
    seen = {}
    hook = inner.base_model.register_forward_hook(lambda module, inputs, output: seen.update(output))
    try:
        logits = model(pixel_values=pixel_values).logits
    finally:
        hook.remove()
    return logits.float(), inner.classifier(seen["last_hidden_state"][:, -tokens:]).float()


TASK = ImageClassificationTask
