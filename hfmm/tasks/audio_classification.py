"""Audio classification: one class per clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from datasets import Features

from hfmm.data.common.audio import decode
from hfmm.data.common.labels import label_names
from hfmm.data.common.rows import Row, iter_batches
from hfmm.errors import UserError
from hfmm.models.common.audio_inputs import ignores_padding
from hfmm.models.common.batch import to_model_device
from hfmm.models.common.family import ModelFamily
from hfmm.tasks.base import BaseTask, Prediction
from hfmm.tasks.common.clip_batcher import ClipBatcher
from hfmm.tasks.common.inputs import AudioInput

TOP_K = 3  # labels that the snippet prints


class AudioClassificationTask(BaseTask):
    """Cross-entropy over the classes.

    Clips are padded to the longest of their batch, and the padding is masked as far as the feature extractor returns a
    mask. A model whose logits still depend on the padding predicts one clip at a time.
    """

    auto_classes = ("AutoModelForAudioClassification",)
    pipeline_tag = "audio-classification"
    required_columns = ("id", "audio", "label", "group")
    target_columns = ("label",)
    input = AudioInput
    outputs_scores = True
    snippet_imports = ("import soundfile",)

    def __init__(self, config: Any, processor: Any, options: Any, family: ModelFamily | None = None) -> None:
        super().__init__(config, processor, options, family)
        self.batcher = ClipBatcher(config, processor)
        self.names = [config.id2label[index] for index in range(len(config.id2label))]

    @classmethod
    def make_row_validator(cls, family: Any, config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return a function that raises UserError for a clip that is too short or too long, or a missing class."""
        num_labels, batcher = len(label_names(features)), ClipBatcher(config, processor)

        def validate(row: Row) -> None:
            batcher.check_length(len(decode(row["audio"])))
            if not isinstance(row["label"], int) or not 0 <= row["label"] < num_labels:
                raise UserError(
                    f"the label {row['label']} is not one of the {num_labels} classes, 0 to {num_labels - 1}"
                )

        return validate

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the inputs of the model, padded, and the class indices ``labels`` `(batch_size,)`."""
        import torch

        return {**self.batcher(rows), "labels": torch.tensor([row["label"] for row in rows])}

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the cross-entropy of the batch in nats, summed and divided by ``num_items`` rows."""
        from torch.nn import functional

        inputs = {name: value for name, value in batch.items() if name != "labels"}
        return functional.cross_entropy(model(**inputs).logits.float(), batch["labels"], reduction="sum") / num_items

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[Prediction]:
        """Yield the class of each row with its score."""
        for batch in iter_batches(rows, batch_size if ignores_padding(self.config) else 1):
            yield from map(self._decode_scores, self._scores(model, batch))

    def reference(self, row: Row) -> list[str]:
        """Return the label name of the row, in a list as for other classifiers."""
        return [self.names[row["label"]]]

    def pipeline_call(self, example: str, recorded: Sequence[Row]) -> str:
        """Return the call that prints the best labels."""
        return (
            f'samples, rate = soundfile.read(f"{{model}}/{example}", dtype="float32")  # mono, 16 kHz\n'
            f'for guess in pipe({{"raw": samples, "sampling_rate": rate}}, top_k={min(TOP_K, len(self.names))}):\n'
            "    print(f\"{guess['score']:.2f} {guess['label']}\")"
        )

    def expected_snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the lines that the snippet prints."""
        scores = self._scores(model, [self.input.from_bytes(recorded[0]["input"])])[0]
        best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[:TOP_K]
        return "\n".join(f"{scores[index]:.2f} {self.names[index]}" for index in best)

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Return the arguments that request the scores of all labels, and single clips if padding has an effect."""
        return {"top_k": len(self.names)} | ({} if ignores_padding(self.config) else {"batch_size": 1})

    def parse_pipeline_output(self, output: Sequence[Mapping[str, Any]]) -> Prediction:
        """Return the prediction from the pipeline's list of ``{"label", "score"}``."""
        scores = {entry["label"]: entry["score"] for entry in output}
        return self._decode_scores([scores[name] for name in self.names])

    def expected_pipeline_output(self, model: Any, recorded: Sequence[Row]) -> list[Prediction]:
        """Return the recorded labels and scores."""
        return [{"prediction": row["prediction"], "score": row["score"]} for row in recorded]

    def _scores(self, model: Any, rows: Sequence[Row]) -> list[list[float]]:
        """Return the scores of all labels for each row, as the pipeline returns them."""
        import torch

        with torch.inference_mode():
            logits = model(**to_model_device(self.batcher(rows), model)).logits.float()
        scores: list[list[float]] = logits.softmax(-1).tolist()
        return scores

    def _decode_scores(self, scores: Sequence[float]) -> Prediction:
        best = max(range(len(scores)), key=scores.__getitem__)
        return {"prediction": [self.names[best]], "score": [scores[best]]}


TASK = AudioClassificationTask
