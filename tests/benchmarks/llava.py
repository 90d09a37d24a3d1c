"""What the LLaVA cases share: a fused checkpoint, its conversations, and training on them: ours, a script's, a peer's.

python -m tests.benchmarks.llava VISION LANGUAGE OUT    # fuses two folders for --checkpoint OUT, once
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hfmm.run_directory import read_log
from tests.benchmarks import rows, training
from tests.benchmarks.case import Job, Measured
from tests.loading import load_model

BATCH = 2
PROJECTOR = "model.multi_modal_projector"
AUTO_CLASS = "AutoModelForImageTextToText"
PIXELS = 224
SMALL = {
    "vision": {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3},
    "language": {"hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 768, "vocab_size": 32_768},
}
LARGE = {  # of DINOv2 ViT-S and Gemma 3 270M
    "vision": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6},
    "language": {"hidden_size": 640, "num_hidden_layers": 18, "intermediate_size": 2048, "vocab_size": 262_144},
}


def prepare(job: Job) -> None:
    """Write the conversations and a fused checkpoint, so that all sides begin with the same weights."""
    import shutil

    options = {"content": job.options["content"], "turns": 1, "size": PIXELS, "validation": 1, "test": 1}
    rows.write("visual_questions", job.prepared, train=job.options["rows"], **options)
    if job.checkpoint:
        shutil.copytree(job.checkpoint, job.prepared / "checkpoint")
        return
    vision, language = (job.prepared / name for name in ("vision", "language"))
    _write_vision(job.options["shape"]["vision"], vision)
    _write_language(job.options["shape"]["language"], language)
    fuse(vision, language, job.prepared / "checkpoint")


def _write_vision(shape: Mapping[str, int], folder: Path) -> None:
    """Write a DINOv2 of a shape with random weights."""
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessor, set_seed

    set_seed(0)
    Dinov2Model(Dinov2Config(**shape, image_size=PIXELS, patch_size=14)).save_pretrained(folder)
    ViTImageProcessor(size={"height": PIXELS, "width": PIXELS}).save_pretrained(folder)


def _write_language(shape: Mapping[str, int], folder: Path) -> None:
    """Write a Gemma 3 of a shape with random weights, which reads by the embedded language model's tokenizer."""
    from transformers import AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig, set_seed

    from hfmm.assets import CHECKPOINTS

    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / "tiny-llm")
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    set_seed(0)
    config = Gemma3TextConfig(
        **shape, **special, num_attention_heads=4, num_key_value_heads=1, head_dim=shape["hidden_size"] // 4
    )
    Gemma3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def fuse(vision: Path, language: Path, out: Path) -> None:
    """Write two checkpoints fused, the projector between them untrained."""
    from datasets import Features
    from transformers import set_seed

    from hfmm.recipe.schema import Recipe

    set_seed(0)
    untrained = {"trainable": PROJECTOR, "learning_rate": 1}
    spec = recipe(str(vision), {"builder": "visual_questions"}, untrained, language=str(language))
    model, processor = load_model(Recipe.model_validate(spec), Features(), AUTO_CLASS)
    model.save_pretrained(out)
    processor.save_pretrained(out)


def recipe(checkpoint: str, data: dict[str, Any], stage: Mapping[str, Any], **model: Any) -> dict[str, Any]:
    """Return the recipe of one epoch of a stage."""
    one = {"name": "only", "epochs": 1, "batch_size": BATCH, **stage}
    return {
        "name": "speed",
        "task": "image_text_to_text",
        "data": data,
        "model": {"checkpoint": checkpoint, "max_new_tokens": 1, **model},
        "stages": [one],
        "metrics": ["exact_match"],
    }


def hfmm(job: Job, kept: bool, precision: str = "auto", **stage: Any) -> Measured:
    """Train as `hfmm run` does; ``kept`` reads the tower's features from disk. Puts out the losses of its log."""
    from hfmm.run_directory import RunDirectory

    data = rows.recipe_data(job.prepared) | {"cache_vision_features": kept}
    measured = training.own(job, recipe(str(job.prepared / "checkpoint"), data, stage) | {"precision": precision})
    logged = [line["loss"] for line in read_log(RunDirectory(job.scratch / "run").log) if "loss" in line]
    # Three times the forward pass, as of a model that trains whole, would be too much where most of it is frozen.
    return replace(measured, outputs=measured.outputs + logged, flops=None)


def script(job: Job, in_bf16: bool, learning_rate: float, freeze: Callable[[Any], Any]) -> Measured:
    """Train what ``freeze`` leaves as a plain Trainer script does: features in each step, logits at all positions."""
    from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments, set_seed

    set_seed(0)
    processor = AutoProcessor.from_pretrained(job.prepared / "checkpoint")
    model = AutoModelForImageTextToText.from_pretrained(job.prepared / "checkpoint", dtype="float32")

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

    answered, steps = spoken(job), training.stopwatch()
    settings = TrainingArguments(**arguments(job, in_bf16, learning_rate), remove_unused_columns=False)
    trainer = Trainer(
        model=freeze(model), args=settings, data_collator=collate, train_dataset=answered, callbacks=[steps]
    )
    return peer(trainer, answered, steps, in_bf16)


def peer(trainer: Any, rows: Any, steps: Any, in_bf16: bool) -> Measured:
    """Train a peer's Trainer, which carries ``steps``; puts out the loss of its first rows and those of its log."""
    batch = trainer.data_collator([rows[index] for index in range(BATCH)])
    before = training.counted(lambda: trainer.model(**batch).loss, in_bf16)
    measured = training.watched(trainer, steps, BATCH, before)
    logged = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return replace(measured, outputs=measured.outputs + logged, flops=None)


def arguments(job: Job, in_bf16: bool, learning_rate: float) -> dict[str, Any]:
    """Return the arguments of a peer's Trainer: optimizer, order of rows and lines of the log are those of hfmm."""
    return training.common(job.scratch, BATCH, in_bf16) | {
        "learning_rate": learning_rate,
        "weight_decay": 0.05,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "seed": 0,
        "logging_steps": max(1, job.options["rows"] // BATCH // training.FIRST),
    }


def spoken(job: Job) -> Any:
    """Return the rows as peers read them: pictures, a prompt and its completion."""
    from datasets import Image, List, load_from_disk

    built = load_from_disk(str(job.prepared / "rows"))["train"]

    def split(row: dict[str, Any]) -> dict[str, Any]:
        asked, said = (message["content"][-1]["text"] for message in row["messages"])
        return {
            "prompt": [{"role": "user", "content": asked}],
            "completion": [{"role": "assistant", "content": said}],
        }

    return built.map(split, remove_columns=[name for name in built.column_names if name != "images"]).cast_column(
        "images", List(Image())
    )


if __name__ == "__main__":
    fuse(*map(Path, sys.argv[1:]))
