"""The second stage of LLaVA: LoRA on the language model and a trainable projector. Peers: TRL and a Trainer script."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks import llava, training
from tests.benchmarks.case import Case, Job, Measured, Side

LEARNING_RATE = 2e-4
TARGET_MODULES = r".*language_model\..*(proj|c_attn|c_fc)"


def lora_config() -> Any:
    """Return the LoRA config of all sides."""
    from peft import LoraConfig

    return LoraConfig(
        r=16,
        lora_alpha=32,
        target_modules=TARGET_MODULES,
        modules_to_save=["multi_modal_projector"],
        task_type="CAUSAL_LM",
    )


def train_only_adapter(model: Any) -> Any:
    """Add an adapter, and freeze all parameters except the adapter and the projector."""
    from peft import get_peft_model

    return get_peft_model(model, lora_config())


def script(job: Job, in_bf16: bool) -> Measured:
    """Train as a plain Trainer script with peft does."""
    return llava.script(job, in_bf16, LEARNING_RATE, train_only_adapter)


def trl(job: Job, gradient_checkpointing: bool, dtype: str) -> Measured:
    """Train as in the documentation of TRL for prompts, completions and images. Its default is bf16 autocast."""
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    dataset, step_timer = llava.prompt_completion_rows(job), training.make_step_timer()
    config = SFTConfig(
        **llava.peer_arguments(job, True, LEARNING_RATE), max_length=None,
        gradient_checkpointing=gradient_checkpointing,
        model_init_kwargs={"dtype": dtype},
    )  # fmt: skip
    trainer = SFTTrainer(
        model=str(job.prepared / "checkpoint"),
        args=config,
        train_dataset=dataset,
        callbacks=[step_timer],
        peft_config=lora_config(),
    )
    return llava.train_peer(trainer, dataset, step_timer, True)


NEEDS = ("trl",)
hfmm = partial(llava.hfmm, trainable="lora", learning_rate=LEARNING_RATE)
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
        Side("hfmm", partial(hfmm, cached=False)),
        Side("hfmm, features from disk", partial(hfmm, cached=True), against="hfmm"),
        Side("TRL", partial(trl, gradient_checkpointing=True, dtype="float32"), "hfmm", needs=NEEDS, target=2.5),
        Side(
            "TRL, no checkpointing by hand",
            partial(trl, gradient_checkpointing=False, dtype="float32"),
            against="hfmm",
            needs=NEEDS,
        ),
        Side(
            "TRL, bf16 weights too",
            partial(trl, gradient_checkpointing=False, dtype="bfloat16"),
            against="hfmm",
            needs=NEEDS,
        ),
        Side("Trainer script", partial(script, in_bf16=False), against="hfmm"),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against="hfmm"),
    ),
)
