"""Conversations in words: a language model is asked, and learns what it should have said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Features

from hfmm.data.common.messages import Message, message_text, normalize_messages
from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.models.common.batch import to_model_device
from hfmm.recipe.validation import StrictModel
from hfmm.tasks.common import conversation_check, conversation_task
from hfmm.tasks.common.assistant_masks import answer_spans, highlight_labels, mask_non_answers

GREEDY_KWARGS = "do_sample=False"  # the pipeline draws at random unless it is told not to


class TextGenerationTask:
    """Cross-entropy over the tokens of the answers, each token of a step weighing the same.

    All answers of a conversation train. Each of its questions is predicted by itself, asked after the turns that stand
    before it in the data, the assistant's included: a wrong answer does not spoil the next.
    """

    auto_class = "AutoModelForCausalLM"
    pipeline_tag = "text-generation"
    modality = "text"
    required_columns = ("id", "messages", "group")
    target_columns = ("messages", "kinds", "text", "verb", "error")
    random_per_epoch = False
    uses_in_batch_negatives = False
    outputs_scores = False
    accepts_cached_features = False
    example_prompts = ("What is the base form of the verb?",)
    num_grad_cache_chunks = 1

    reference = staticmethod(conversation_task.reference)
    num_items = staticmethod(conversation_task.num_items)
    loss = staticmethod(conversation_task.loss)
    is_wrong = staticmethod(conversation_task.wrong)
    parse_pipeline_output = staticmethod(conversation_task.from_pipeline)
    expected_pipeline_output = staticmethod(conversation_task.expected)
    format_predictions = staticmethod(conversation_task.format_answers)

    class Options(StrictModel):
        """This task has no options of its own."""

    def __init__(self, config: Any, processor: Any, options: Options) -> None:
        self.options, self.tokenizer = options, processor

    @staticmethod
    def make_row_validator(config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return what raises UserError for a conversation that cannot be read whole or has nothing to learn.

        Raises UserError itself for a model without a chat template.
        """
        conversation_check.require_chat_template(processor)
        longest = getattr(config, "max_position_embeddings", None)

        def check(row: Row) -> None:
            messages = _chat(row)
            conversation_check.count_answers(messages)
            text, _ = answer_spans(processor, messages)
            tokens = len(processor(text, add_special_tokens=False)["input_ids"])
            if longest and tokens > longest:
                raise UserError(f"it has {tokens} tokens, and the model reads {longest}: shorten it")

        return check

    @staticmethod
    def rows_from_file(path: str, texts: Sequence[str]) -> list[Row]:
        """Return a row for each question about the text in one file; raises UserError for one that is no text."""
        try:
            about = Path(path).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise UserError(f"{path} is no text in UTF-8, and this model reads nothing else.") from None
        chats = [[{"role": "user", "content": f"{about}\n{text}"}] for text in texts]
        return [{"id": path, "messages": chat, "group": path} for chat in chats]

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``input_ids``, ``attention_mask`` and ``labels`` (rows, length): the tokens of the answers."""
        written = [answer_spans(self.tokenizer, _chat(row)) for row in rows]
        batch = self._tokenize([text for text, _ in written], "right", return_offsets_mapping=True)
        offsets = batch.pop("offset_mapping")
        return {**batch, "labels": mask_non_answers(batch["input_ids"], offsets, [places for _, places in written])}

    def _tokenize(self, texts: list[str], padding_side: str, **more: Any) -> dict[str, Any]:
        """Return the batch of texts that a chat template wrote; ``more`` is what else the tokenizer is to return."""
        return dict(
            self.tokenizer(
                texts, padding=True, padding_side=padding_side, add_special_tokens=False, return_tensors="pt", **more
            )
        )

    def describe_labels(self, row: Row) -> str:
        """Return the row as the model reads it, what it learns of that in «»."""
        return highlight_labels(self.tokenizer, self.collate([row]))

    def on_step_end(self, model: Any) -> dict[str, float]:
        """Do nothing: any weights will do."""
        return {}

    def predict(self, model: Any, rows: Iterable[Row], batch_size: int) -> Iterator[dict[str, Any]]:
        """Return the answers to the questions of each row, or to its last, where that has no answer yet.

        Where the data has the answers, with the ``nats`` by which they surprise the model and their ``tokens``.
        """
        return conversation_task.predict_conversations(
            rows,
            batch_size,
            _chat,
            lambda asked: self._generate(model, asked),
            lambda some: conversation_task.answer_nll(model, self.collate(some)),
        )

    def _generate(self, model: Any, chats: list[list[Message]]) -> list[str]:
        import torch

        texts = [self.tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=False) for one in chats]
        inputs = to_model_device(self._tokenize(texts, "left"), model)
        with torch.inference_mode():
            ids = model.generate(**inputs)
        said = self.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [text.strip() for text in said]

    def metric_inputs(self, predictions: Sequence[Row]) -> Sequence[Row]:
        """Return the answers with what was noted beside them."""
        return predictions

    def extra_logs(self, predictions: Sequence[Row]) -> dict[str, float]:
        """Note nothing."""
        return {}

    @staticmethod
    def input_to_bytes(row: Row) -> bytes:
        """Return the chat up to its last question as the pipeline takes it, in JSON."""
        return json.dumps(conversation_task.prompts(_chat(row))[-1], ensure_ascii=False).encode()

    @staticmethod
    def input_from_bytes(stored: bytes) -> Row:
        """Return the row of a stored chat."""
        return {"id": "stored", "messages": json.loads(stored), "group": ""}

    @staticmethod
    def write_example(row: Row, folder: Path) -> str:
        """Write what the first question is about, its text but for the last line."""
        about, _, _ = _chat(row)[0]["content"].rpartition("\n")
        (folder / "example.txt").write_text(about, encoding="utf-8")
        return "example.txt"

    def usage_snippet(self, model: str, example: str, recorded: Sequence[Row]) -> str:
        """Return the pipeline call that prints the answer to the last question of the first row."""
        messages = json.loads(recorded[0]["input"])
        lines = "".join(f"    {json.dumps(message, ensure_ascii=False)},\n" for message in messages)
        return (
            "from transformers import pipeline\n\n"
            f'model = "{model}"  # the folder that holds this card\n'
            f'speaker = pipeline("{self.pipeline_tag}", model=model)\n'
            f"chat = [\n{lines}]\n"
            f'print(speaker(chat, return_full_text=False, {GREEDY_KWARGS})[0]["generated_text"].strip())'
        )

    def expected_snippet_output(self, model: Any, recorded: Sequence[Row]) -> str:
        """Return the answer that the snippet prints."""
        text: str = next(self.predict(model, [self.input_from_bytes(recorded[0]["input"])], 1))["prediction"][-1]
        return text

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Ask for the likeliest answer, alone."""
        return {"return_full_text": False, "do_sample": False}


def _chat(row: Row) -> list[Message]:
    """Return the messages of a row, the content of each as one text, which every chat template takes."""
    return [{"role": message["role"], "content": message_text(message)} for message in normalize_messages(row)]


TASK = TextGenerationTask
