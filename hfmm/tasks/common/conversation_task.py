"""The base class of the tasks that answer questions: their loss, their prediction and their pipeline output."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from hfmm.data.common.messages import Message, assistant_texts, normalize_messages
from hfmm.data.common.rows import Row, iter_batches
from hfmm.metrics._answers import normalize_answer
from hfmm.models.common.batch import to_model_device
from hfmm.tasks.base import IGNORE_INDEX, BaseTask, Prediction
from hfmm.tasks.common.inputs import ends_with_assistant, split_prompts


class ConversationTask(BaseTask):
    """Cross-entropy over the tokens of the answers. Each token of a step has the same weight.

    All answers of a conversation train. Each of its questions is predicted by itself, after the turns that precede it
    in the data, including those of the assistant: a wrong answer does not affect the next.
    """

    target_columns = ("messages", "images", "kinds")

    @abstractmethod
    def to_chat(self, row: Row) -> list[Message]:
        """Return the messages of a row in the form that `generate` takes."""

    @abstractmethod
    def generate(self, model: Any, chats: Sequence[list[Message]]) -> list[str]:
        """Return the answer of the model to the last question of each conversation."""

    def num_items(self, batch: Mapping[str, Any]) -> int:
        """Return the number of tokens that have a label."""
        return int((batch["labels"][:, 1:] != IGNORE_INDEX).sum())

    def loss(self, model: Any, batch: Mapping[str, Any], num_items: Any) -> Any:
        """Return the cross-entropy in nats, summed over the tokens of the answers and divided by ``num_items``.

        Logits are computed at the answers only: with a large vocabulary, all logits cost more than the model's layers.
        """
        from torch.nn import functional

        inputs = {name: value for name, value in batch.items() if name != "labels"}
        next_tokens = batch["labels"][:, 1:]
        has_label = next_tokens != IGNORE_INDEX
        logits = model(**inputs, logits_to_keep=functional.pad(has_label, (0, 1)), use_cache=False).logits
        return functional.cross_entropy(logits.float(), next_tokens[has_label], reduction="sum") / num_items

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[Prediction]:
        """Yield the answers to the questions of each row, or to its last question if that has no answer yet.

        If the rows have reference answers, each prediction also has their ``nats`` (negative log-likelihood of each
        answer) and ``tokens`` (the length of each answer).
        """
        for batch in iter_batches(rows, batch_size):
            chats = [self.to_chat(row) for row in batch]
            answers = generate_answers(chats, lambda prompts: self.generate(model, prompts))
            has_references = all(map(ends_with_assistant, chats))
            losses = answer_nll(model, self.collate(batch)) if has_references else [{}] * len(batch)
            yield from ({**answer, **loss} for answer, loss in zip(answers, losses, strict=True))

    def reference(self, row: Row) -> dict[str, Any]:
        """Return the answers of a row, and the kinds of its questions where the data has them."""
        answers: dict[str, Any] = {"answers": assistant_texts(normalize_messages(row))}
        return answers | ({"kinds": row["kinds"]} if "kinds" in row else {})

    def metric_inputs(self, predictions: Sequence[Prediction]) -> Sequence[Prediction]:
        """Return the answers with their ``nats`` and ``tokens``."""
        return predictions

    def mark_wrong(self, predictions: Sequence[Prediction], references: Sequence[Any]) -> list[bool]:
        """Return for each row whether an answer is wrong, ignoring case and final punctuation."""
        return [
            list(map(normalize_answer, prediction["prediction"])) != list(map(normalize_answer, reference["answers"]))
            for prediction, reference in zip(predictions, references, strict=True)
        ]

    def parse_pipeline_output(self, output: Sequence[Mapping[str, Any]]) -> Prediction:
        """Return the text that the pipeline generated."""
        return {"prediction": output[0]["generated_text"].strip()}

    def expected_pipeline_output(self, model: Any, recorded: Sequence[Row]) -> list[Prediction]:
        """Return the recorded answer to the last question of each row."""
        return [{"prediction": row["prediction"][-1]} for row in recorded]

    def expected_snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the answer that the snippet prints."""
        row = self.input.from_bytes(recorded[0]["input"])
        answer: str = next(self.predict(model, [row], 1))["prediction"][-1]
        return answer

    def format_predictions(
        self, model: Any, predictions: Sequence[Prediction], texts: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return each question with its answer."""
        pairs = zip(cycle(texts), predictions, strict=False)
        return [{"question": text, "answer": prediction["prediction"][-1]} for text, prediction in pairs]


def generate_answers(
    chats: Sequence[list[Message]], generate: Callable[[list[list[Message]]], list[str]]
) -> list[dict[str, list[str]]]:
    """Return the answers to the questions of each conversation, each asked after the turns that precede it."""
    prompts = [split_prompts(chat) for chat in chats]
    answers: list[list[str]] = [[] for _ in chats]
    # The last questions of all rows make one batch: it is the batch that the pipeline repeats in verification.
    for back in range(1, max(map(len, prompts)) + 1):
        indices = [index for index, row_prompts in enumerate(prompts) if len(row_prompts) >= back]
        texts = generate([prompts[index][-back] for index in indices])
        for index, text in zip(indices, texts, strict=True):
            answers[index].insert(0, text)
    return [{"prediction": texts} for texts in answers]


def answer_nll(model: Any, batch: Mapping[str, Any]) -> list[dict[str, list[float]]]:
    """Return for each row the negative log-likelihood of each reference answer (``nats``), and its ``tokens``."""
    import torch
    from torch.nn import functional

    next_tokens = batch["labels"][:, 1:]
    has_label = next_tokens != IGNORE_INDEX
    starts = has_label & ~functional.pad(has_label, (1, 0))[:, :-1]
    positions = torch.stack([has_label.nonzero()[:, 0], starts.cumsum(1)[has_label] - 1], 1).tolist()
    inputs = to_model_device({name: value for name, value in batch.items() if name != "labels"}, model)
    with torch.inference_mode():
        keep = functional.pad(has_label, (0, 1)).to(model.device)
        logits = model(**inputs, logits_to_keep=keep, use_cache=False).logits.float().cpu()
    token_losses = functional.cross_entropy(logits, next_tokens[has_label], reduction="none").tolist()
    counts = starts.sum(1).tolist()
    losses = [{"nats": [0.0] * count, "tokens": [0.0] * count} for count in counts]
    for (row, answer), nats in zip(positions, token_losses, strict=True):
        losses[row]["nats"][answer] += nats
        losses[row]["tokens"][answer] += 1
    return losses
