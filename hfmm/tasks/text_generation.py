"""Conversations in text: a language model learns to answer questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from datasets import Features

from hfmm.data.common.messages import Message
from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.models.common.batch import to_model_device
from hfmm.tasks.common import conversation_check
from hfmm.tasks.common.assistant_masks import answer_spans, highlight_labels, mask_non_answers
from hfmm.tasks.common.conversation_task import ConversationTask
from hfmm.tasks.common.inputs import TextInput, text_messages

GREEDY_KWARGS = "do_sample=False"  # the pipeline samples by default


class TextGenerationTask(ConversationTask):
    """Cross-entropy over the tokens of the answers of a conversation in text."""

    auto_classes = ("AutoModelForCausalLM",)
    pipeline_tag = "text-generation"
    required_columns = ("id", "messages", "group")
    input = TextInput
    default_metrics = ("exact_match", "token_f1")
    example_prompts = ("What is the base form of the verb?",)

    @classmethod
    def make_row_validator(cls, family: Any, config: Any, processor: Any, features: Features) -> Callable[[Row], None]:
        """Return a function that raises UserError for a conversation that is too long or has nothing to learn.

        Raises UserError itself for a model without a chat template.
        """
        conversation_check.require_chat_template(processor)
        max_tokens = getattr(config, "max_position_embeddings", None)

        def validate(row: Row) -> None:
            messages = text_messages(row)
            conversation_check.count_answers(messages)
            text, _ = answer_spans(processor, messages)
            tokens = len(processor(text, add_special_tokens=False)["input_ids"])
            if max_tokens and tokens > max_tokens:
                raise UserError(f"it has {tokens} tokens, and the model reads at most {max_tokens}: shorten it")

        return validate

    def to_chat(self, row: Row) -> list[Message]:
        """Return the messages of a row, the content of each as one text."""
        return text_messages(row)

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return ``input_ids``, ``attention_mask`` and ``labels``, all `(batch_size, sequence_length)`."""
        rendered = [answer_spans(self.processor, self.to_chat(row)) for row in rows]
        batch = self._tokenize([text for text, _ in rendered], "right", return_offsets_mapping=True)
        offsets = batch.pop("offset_mapping")
        return {**batch, "labels": mask_non_answers(batch["input_ids"], offsets, [spans for _, spans in rendered])}

    def describe_labels(self, row: Row) -> str:
        """Return the row as the model reads it, with the parts that it learns in «»."""
        return highlight_labels(self.processor, self.collate([row]))

    def generate(self, model: Any, chats: Sequence[list[Message]]) -> list[str]:
        """Return the answer of the model to the last question of each conversation."""
        import torch

        texts = [self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]
        inputs = to_model_device(self._tokenize(texts, "left"), model)
        with torch.inference_mode():
            ids = model.generate(**inputs)
        answers = self.processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [answer.strip() for answer in answers]

    def _tokenize(self, texts: list[str], padding_side: str, **kwargs: Any) -> dict[str, Any]:
        """Return the batch of texts that a chat template has rendered."""
        return dict(
            self.processor(
                texts, padding=True, padding_side=padding_side, add_special_tokens=False, return_tensors="pt", **kwargs
            )
        )

    def pipeline_call(self, example: str, recorded: Sequence[Row]) -> str:
        """Return the call that prints the answer to the last question of the first row."""
        messages = json.loads(recorded[0]["input"])
        lines = "".join(f"    {json.dumps(message, ensure_ascii=False)},\n" for message in messages)
        return (
            f"chat = [\n{lines}]\n"
            f'print(pipe(chat, return_full_text=False, {GREEDY_KWARGS})[0]["generated_text"].strip())'
        )

    def pipeline_kwargs(self, recorded: Sequence[Row]) -> dict[str, Any]:
        """Ask for the greedy answer, without the prompt."""
        return {"return_full_text": False, "do_sample": False}


TASK = TextGenerationTask
