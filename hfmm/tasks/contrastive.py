"""Contrastive image-text training: an image and its captions get similar embeddings, other pairs do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from string import Formatter
from typing import Any, Literal

import numpy as np
from datasets import Features
from pydantic import Field, field_validator

from hfmm.data.common.rows import Row, iter_batches
from hfmm.errors import UserError
from hfmm.models.common.batch import image_inputs, text_inputs
from hfmm.models.common.family import ModelFamily
from hfmm.recipe.validation import StrictModel
from hfmm.tasks.base import BaseTask
from hfmm.tasks.common import caption_check
from hfmm.tasks.common.embedder import Embedder
from hfmm.tasks.common.inputs import ImageInput
from hfmm.tasks.common.losses import (
    cosine_similarity,
    grad_cache_forward,
    length_bucketed_forward,
    multi_positive_info_nce,
    siglip_loss,
)
from hfmm.tasks.common.row_rng import row_seed

CANDIDATES = 8  # candidate labels of the pipeline when a saved model is verified


class ContrastiveTask(BaseTask):
    """Symmetric InfoNCE (CLIP, arXiv:2103.00020) or the sigmoid loss (SigLIP, arXiv:2303.15343).

    Every caption of a row that occurs in the batch is a positive. InfoNCE then has uniform soft targets (Yang et al.
    2022, arXiv:2204.03610). Each epoch draws one caption per row. Evaluation always uses the same one.
    """

    auto_classes = ("AutoModelForZeroShotImageClassification",)
    pipeline_tag = "zero-shot-image-classification"
    required_columns = ("id", "image", "captions", "group")
    target_columns = ("id", "captions", "group")
    input = ImageInput
    default_metrics = ("retrieval", "zero_shot")
    random_per_epoch = True
    uses_in_batch_negatives = True
    outputs_scores = True
    example_prompts = ("a photo of a cat", "a photo of a dog")

    class Options(StrictModel):
        """What `task: {name: contrastive}` takes."""

        loss: Literal["auto", "softmax", "sigmoid"] = Field(
            "auto", description="auto: sigmoid if the checkpoint has a logit_bias, otherwise softmax (InfoNCE)"
        )
        hard_negatives_per_row: int = Field(
            0, ge=0, description="negative texts per row, drawn from the column `negatives`"
        )
        templates: list[str] = Field(
            ["{}"], min_length=1, description="prompts around the first caption, for zero-shot classification"
        )

        @field_validator("templates")
        @classmethod
        def _check_placeholders(cls, templates: list[str]) -> list[str]:
            if any([name for _, name, *_ in Formatter().parse(text) if name is not None] != [""] for text in templates):
                raise ValueError("each template needs exactly one {} for the caption")
            return templates

    def __init__(self, config: Any, processor: Any, options: Options, family: ModelFamily | None = None) -> None:
        super().__init__(config, processor, options, family)
        self.embedder = Embedder(self.family, config, processor)
        # The sigmoid loss trains a logit_bias, which not every architecture saves.
        has_bias = self.family.has_logit_bias(config)
        if options.loss == "sigmoid" and not has_bias:
            raise UserError(
                f"task.loss: the sigmoid loss needs a logit_bias, and a {config.model_type!r} model cannot save one. "
                "Use loss: softmax, or choose a SigLIP checkpoint."
            )
        self.sigmoid = has_bias if options.loss == "auto" else options.loss == "sigmoid"

    @classmethod
    def make_row_validator(cls, family: Any, config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return a function that raises UserError for an image or captions that cannot be used."""
        return caption_check.make_caption_validator(family, config, processor)

    def reference(self, row: Row) -> dict[str, Any]:
        """Return the caption drawn for the row, all its captions, its group and its class (its first caption)."""
        captions = list(row.get("captions") or [""])  # `hfmm predict` has only images
        return {
            "text": self._sample_caption(row),
            "captions": captions,
            "group": row["group"],
            "class": captions[0],
        }

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``pixel_values``, tokens `(num_texts, sequence_length)` and ``labels`` `(batch_size, num_texts)`.

        Text i is a caption of row i, and the negative texts follow. ``labels`` is true for positive pairs.
        """
        import torch

        texts = [self._sample_caption(row) for row in rows]
        texts += [text for row in rows for text in self._negatives(row)]
        positives = [[text in captions for text in texts] for captions in (set(row["captions"]) for row in rows)]
        return {**self.embedder.pixels(rows), **self.embedder.tokens(texts), "labels": torch.tensor(positives)}

    def describe_labels(self, row: Row) -> str:
        """Return the caption drawn for a row; raises UserError if negative texts are missing or a prompt too long."""
        self._negatives(row)
        self._check_prompt_length(self._prompts(row["captions"][0]))
        return self._sample_caption(row)

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return the number of rows."""
        return len(batch["labels"])

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the loss of the batch in nats, summed over its rows and divided by ``num_items``."""
        inner = _require_single_process(model)
        pixels, tokens = image_inputs(batch), text_inputs(batch)
        images = grad_cache_forward(
            lambda chunk: self.family.embed_images(inner, chunk), pixels, self.num_grad_cache_chunks
        )
        embed_texts = partial(self.family.embed_texts, inner)
        if not self.family.needs_fixed_padding(self.config):
            embed_texts = partial(length_bucketed_forward, embed_texts)
        texts = grad_cache_forward(embed_texts, tokens, self.num_grad_cache_chunks)
        logits = cosine_similarity(images, texts) * self.family.logit_scale(inner) + self.family.logit_bias(inner)
        total = (
            siglip_loss(logits, batch["labels"]) if self.sigmoid else multi_positive_info_nce(logits, batch["labels"])
        )
        return total / num_items

    def on_step_end(self, model: Any) -> dict[str, float]:
        """Clamp the logit scale, and return it."""
        inner = _require_single_process(model)
        self.family.clamp_logit_scale(inner)
        return {"logit_scale": round(self.family.logit_scale(inner).item(), 4)}

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[dict[str, Any]]:
        """Yield the normalized embeddings of the image, the drawn caption and the class of each row.

        The class embedding is the mean over the prompts. Raises UserError for a prompt that is too long.
        """
        embeddings: dict[str, np.ndarray] = {}
        for batch in iter_batches(rows, batch_size):
            references = [self.reference(row) for row in batch]
            texts = [text for ref in references for text in (ref["text"], *self._prompts(ref["class"]))]
            if new := [text for text in dict.fromkeys(texts) if text not in embeddings]:
                self._check_prompt_length(new)
                embeddings.update(zip(new, self.embedder.embed_texts(model, new), strict=True))
            images = self.embedder.embed_images(model, batch)
            for image, ref in zip(images, references, strict=True):
                mean = np.mean([embeddings[text] for text in self._prompts(ref["class"])], axis=0)
                yield {"image": image, "text": embeddings[ref["text"]], "class": mean / np.linalg.norm(mean)}

    def metric_inputs(self, predictions: Sequence[Row]) -> dict[str, np.ndarray]:
        """Return the embeddings ``image``, ``text`` and ``class``, each `(num_rows, hidden_size)`."""
        return {key: np.array([prediction[key] for prediction in predictions]) for key in ("image", "text", "class")}

    def extra_logs(self, predictions: Sequence[Row]) -> dict[str, float]:
        """Return the modality gap: the distance between the centroids of the images and of the texts."""
        embeddings = self.metric_inputs(predictions)
        return {"gap": round(float(np.linalg.norm(embeddings["image"].mean(0) - embeddings["text"].mean(0))), 4)}

    def mark_wrong(self, predictions: Sequence[Row], references: Sequence[Row]) -> list[bool]:
        """Return for each row whether the text closest to its image is not one of its captions."""
        texts = {ref["text"]: prediction["text"] for prediction, ref in zip(predictions, references, strict=True)}
        names, vectors = list(texts), np.array(list(texts.values()))
        nearest = [names[int((vectors @ prediction["image"]).argmax())] for prediction in predictions]
        return [text not in ref["captions"] for text, ref in zip(nearest, references, strict=True)]

    def pipeline_call(self, example: str, recorded: Sequence[Row]) -> str:
        """Return the call that prints the best of some texts for the example."""
        labels = "\n".join(f"    {json.dumps(text, ensure_ascii=False)}," for text in _candidate_texts(recorded))
        return (
            f"texts = [\n{labels}\n]\n"
            f'for guess in pipe(f"{{model}}/{example}", candidate_labels=texts, hypothesis_template="{{}}")[:3]:\n'
            "    print(f\"{guess['score']:.2f} {guess['label']}\")"
        )

    def expected_snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the lines that the snippet prints."""
        (scores,) = (output["scores"] for output in self.expected_pipeline_output(model, recorded, rows=1))
        best = sorted(scores, key=lambda text: -scores[text])[:3]
        return "\n".join(f"{scores[text]:.2f} {text}" for text in best)

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Return the arguments that request the scores of some recorded texts."""
        return {"candidate_labels": list(_candidate_texts(recorded)), "hypothesis_template": "{}"}

    def parse_pipeline_output(self, output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the score of each text from the pipeline's list of ``{"label", "score"}``."""
        return {"scores": {entry["label"]: entry["score"] for entry in output}}

    def expected_pipeline_output(
        self, model: Any, recorded: Sequence[Row], rows: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the scores computed from the recorded embeddings."""
        return self._scores(model, recorded[:rows], _candidate_texts(recorded))

    def format_predictions(self, model: Any, predictions: Sequence[Row], texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the score of each text for each image, best first."""
        embeddings = dict(zip(texts, self.embedder.embed_texts(model, texts), strict=True))
        scores_by_row = [output["scores"] for output in self._scores(model, predictions, embeddings)]
        return [{"scores": dict(sorted(scores.items(), key=lambda item: -item[1]))} for scores in scores_by_row]

    def _scores(self, model: Any, predictions: Sequence[Row], texts: Mapping[str, Any]) -> list[dict[str, Any]]:
        import torch

        images = torch.tensor(np.array([prediction["image"] for prediction in predictions]))
        logits = images @ torch.tensor(np.array(list(texts.values()))).T
        with torch.inference_mode():
            logits = logits * self.family.logit_scale(model).float() + self.family.logit_bias(model)
        scores = (logits.sigmoid() if self.family.has_logit_bias(self.config) else logits.softmax(-1)).tolist()
        return [{"scores": dict(zip(texts, row_scores, strict=True))} for row_scores in scores]

    def _sample_caption(self, row: Row) -> str:
        """Return a caption, drawn by row and epoch. Outside training it is always the same."""
        captions: Sequence[str] = row.get("captions") or [""]
        return captions[row_seed(row, "text") % len(captions)]

    def _prompts(self, name: str) -> list[str]:
        return [template.format(name) for template in self.options.templates]

    def _check_prompt_length(self, prompts: Sequence[str]) -> None:
        caption_check.check_text_length(
            self.family, self.config, self.embedder.processor.tokenizer, "prompt of task.templates", prompts
        )

    def _negatives(self, row: Row) -> list[str]:
        """Return negative texts of a row, drawn like its caption."""
        count = self.options.hard_negatives_per_row
        negatives = caption_check.negative_texts(row, count) if count else []
        order = np.random.default_rng(row_seed(row, "negatives")).permutation(len(negatives))[:count]
        return [negatives[index] for index in order]


def _require_single_process(model: Any) -> Any:
    """Return the model; raises UserError if several processes train it, as each would lack the others' negatives."""
    if hasattr(model, "module"):
        raise UserError("The contrastive task trains in a single process: its loss compares all rows of a step.")
    return model


def _candidate_texts(recorded: Sequence[Row]) -> dict[str, list[float]]:
    """Return the first distinct recorded texts with their embeddings."""
    distinct = {row["reference"]["text"]: row["text"] for row in recorded}
    return dict(list(distinct.items())[:CANDIDATES])


TASK = ContrastiveTask
