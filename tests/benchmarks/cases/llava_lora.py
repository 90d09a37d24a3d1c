"""LLaVA's second stage: LoRA on the language model, the projector trained along; peers are TRL and a plain script."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks import llava, training
from tests.benchmarks.case import Case, Job, Measured, Side

RATE = 2e-4
LINEAR = r".*language_model\..*(proj|c_attn|c_fc)"


def lora() -> Any:
    """Return the adapter of all sides."""
    from peft import LoraConfig

    return LoraConfig(
        r=16, lora_alpha=32, target_modules=LINEAR, modules_to_save=["multi_modal_projector"], task_type="CAUSAL_LM"
    )


def adapter_alone(model: Any) -> Any:
    """Freeze all but the adapter and the projector."""
    from peft import get_peft_model

    return get_peft_model(model, lora())


def script(job: Job, in_bf16: bool) -> Measured:
    """Train as a plain Trainer script with peft does."""
    return llava.script(job, in_bf16, RATE, adapter_alone)


def trl(job: Job, checkpointing: bool, weights: str) -> Measured:
    """Train as TRL's documentation sets prompts, completions and images up; bf16 autocast is its default."""
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    rows, steps = llava.spoken(job), training.stopwatch()
    settings = SFTConfig(
        **llava.arguments(job, True, RATE), max_length=None, gradient_checkpointing=checkpointing,
        model_init_kwargs={"dtype": weights},
    )  # fmt: skip
    trainer = SFTTrainer(
        model=str(job.prepared / "checkpoint"), args=settings, train_dataset=rows, callbacks=[steps], peft_config=lora()
    )
    return llava.peer(trainer, rows, steps, True)


NEEDS = ("trl",)
own = partial(llava.hfmm, train="lora", learning_rate=RATE)
CASE = Case(
    title="LLaVA LoRA",
    unit="rows/s",
    family="llava",
    sizes={
        "small": {"rows": 20, "content": "questions", "shape": llava.SMALL},
        "large": {"rows": 30, "content": "questions", "shape": llava.LARGE},
    },
    prepare=llava.prepare,
    sides=(
        Side("hfmm", partial(own, kept=False)),
        Side("hfmm, features from disk", partial(own, kept=True), against="hfmm"),
        Side("TRL", partial(trl, checkpointing=True, weights="float32"), against="hfmm", needs=NEEDS, asked=2.5),
        Side(
            "TRL, no checkpointing by hand",
            partial(trl, checkpointing=False, weights="float32"),
            against="hfmm",
            needs=NEEDS,
        ),
        Side(
            "TRL, bf16 weights too",
            partial(trl, checkpointing=False, weights="bfloat16"),
            against="hfmm",
            needs=NEEDS,
        ),
        Side("Trainer script", partial(script, in_bf16=False), against="hfmm"),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against="hfmm"),
    ),
)
