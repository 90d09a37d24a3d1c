"""LLaVA's first stage: a projector learns from captions, between an encoder and a language model that are frozen.

The first gradients of an untrained projector before a real language model are hundreds of times as long as what they
are clipped to, so that rounding decides where the first steps go: over fifty of them the script in bf16 strays further
from itself in fp32 than hfmm does. The losses of hfmm and of the script are compared in the same precision, and at a
rate that leaves the two in fp32 near each other.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks import llava, training
from tests.benchmarks.case import Case, Job, Measured, Side

RATE = 1e-4


def script(job: Job, in_bf16: bool) -> Measured:
    """Train as a plain Trainer script does: features anew in each step, logits at all positions."""
    from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments, set_seed

    set_seed(0)
    processor = AutoProcessor.from_pretrained(job.prepared / "checkpoint")
    model = AutoModelForImageTextToText.from_pretrained(job.prepared / "checkpoint", dtype="float32")
    model.requires_grad_(False).get_submodule(llava.PROJECTOR).requires_grad_(True)

    def read(chats: Any, **more: Any) -> Any:
        padded = {"padding": True, "padding_side": "right"}
        return processor.apply_chat_template(
            chats, tokenize=True, return_dict=True, return_tensors="pt", processor_kwargs=padded, **more
        )

    def turn(role: str, *content: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": role, "content": list(content)}]

    def collate(batch: Any) -> dict[str, Any]:
        asked = [
            turn("user", {"type": "image", "image": row["images"][0]},
                 {"type": "text", "text": row["prompt"][0]["content"]})
            for row in batch
        ]  # fmt: skip
        said = [turn("assistant", {"type": "text", "text": row["completion"][0]["content"]}) for row in batch]
        whole = read([question + answer for question, answer in zip(asked, said, strict=True)])
        labels = whole["input_ids"].masked_fill(whole["attention_mask"] == 0, -100)
        for place, one in enumerate(asked):
            labels[place, : read([one], add_generation_prompt=True)["input_ids"].shape[1]] = -100
            # A template may write a line break after the token at which an answer ends; nobody asks for that.
            ends = (labels[place] == processor.tokenizer.eos_token_id).nonzero()[-1]
            labels[place, ends + 1 :] = -100
        return {**whole, "labels": labels}

    rows, steps = llava.spoken(job), training.stopwatch()
    settings = TrainingArguments(**llava.arguments(job, in_bf16, RATE), remove_unused_columns=False)
    trainer = Trainer(model=model, args=settings, data_collator=collate, train_dataset=rows, callbacks=[steps])
    return llava.peer(trainer, rows, steps, in_bf16)


KEPT, IN_FP32 = "hfmm, features from disk", "hfmm, features from disk, fp32"
own = partial(llava.hfmm, train=llava.PROJECTOR, learning_rate=RATE)
CASE = Case(
    title="LLaVA align",
    unit="rows/s",
    family="llava",
    sizes={
        "small": {"rows": 20, "content": "captions", "shape": llava.SMALL},
        "large": {"rows": 100, "content": "captions", "shape": llava.LARGE},
    },
    prepare=llava.prepare,
    sides=(
        Side(KEPT, partial(own, kept=True)),
        Side("hfmm, features in each step", partial(own, kept=False), against=KEPT),
        Side(IN_FP32, partial(own, kept=True, precision="fp32"), against=KEPT, differs="another precision"),
        Side("Trainer script", partial(script, in_bf16=False), against=KEPT, alike=IN_FP32, asked=6),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against=KEPT),
    ),
)
