"""The shared parts of the LLaVA cases: the assembled checkpoint, its conversations, and training on all sides.

python -m tests.benchmarks.llava VISION LANGUAGE OUT    # assembles a checkpoint from two folders, for --checkpoint OUT
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

BATCH = 2
PROJECTOR = "model.multi_modal_projector"
AUTO_CLASS = "AutoModelForImageTextToText"
IMAGE_SIZE = 224
SMALL = {
    "vision": {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3},
    "language": {"hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 768, "vocab_size": 32_768},
}
LARGE = {  # the shapes of DINOv2 ViT-S and Gemma 3 270M
    "vision": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6},
    "language": {"hidden_size": 640, "num_hidden_layers": 18, "intermediate_size": 2048, "vocab_size": 262_144},
}


def prepare(job: Job) -> None:
    """Write the conversations and an assembled checkpoint, so that all sides start with the same weights."""
    import shutil

    options = {"content": job.options["content"], "turns": 1, "size": IMAGE_SIZE, "validation": 1, "test": 1}
    rows.write("visual_questions", job.prepared, train=job.options["rows"], **options)
    if job.checkpoint:
        shutil.copytree(job.checkpoint, job.prepared / "checkpoint")
        return
    vision, language = (job.prepared / name for name in ("vision", "language"))
    _write_vision(job.options["shape"]["vision"], vision)
    _write_language(job.options["shape"]["language"], language)
    assemble(vision, language, job.prepared / "checkpoint")


def _write_vision(shape: Mapping[str, int], folder: Path) -> None:
    """Write a DINOv2 of the given shape with random weights."""
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessor, set_seed

    set_seed(0)
    Dinov2Model(Dinov2Config(**shape, image_size=IMAGE_SIZE, patch_size=14)).save_pretrained(folder)
    ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(folder)


def _write_language(shape: Mapping[str, int], folder: Path) -> None:
    """Write a Gemma 3 of the given shape with random weights and the tokenizer of the built-in language model."""
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


def assemble(vision: Path, language: Path, out: Path) -> None:
    """Write a checkpoint assembled from a vision tower and a language model, with an untrained projector."""
    from datasets import Features
    from transformers import set_seed

    from hfmm.recipe.schema import Recipe
    from tests.loading import load_model

    set_seed(0)
    stage = {"trainable": PROJECTOR, "learning_rate": 1}
    values = recipe(str(vision), {"builder": "visual_questions"}, stage, language_model=str(language))
    model, processor = load_model(Recipe.model_validate(values), Features(), AUTO_CLASS)
    model.save_pretrained(out)
    processor.save_pretrained(out)


def recipe(checkpoint: str, data: dict[str, Any], stage: Mapping[str, Any], **model: Any) -> dict[str, Any]:
    """Return a recipe with one stage of one epoch."""
    defaults = {"name": "only", "num_train_epochs": 1, "per_device_train_batch_size": BATCH}
    return {
        "name": "speed",
        "task": "image_text_to_text",
        "data": data,
        "model": {"checkpoint": checkpoint, "max_new_tokens": 1, **model},
        "stages": [{**defaults, **stage}],
        "metrics": ["exact_match"],
    }


def hfmm(job: Job, cached: bool, precision: str = "auto", **stage: Any) -> Measured:
    """Train as `hfmm run` does. The outputs also have the losses of the log.

    ``cached`` reads the features of the vision tower from disk.
    """
    from hfmm.run_directory import RunDirectory

    data = rows.recipe_data(job.prepared) | {"cache_vision_features": cached}
    measured = training.train_with_hfmm(
        job, recipe(str(job.prepared / "checkpoint"), data, stage) | {"precision": precision}
    )
    losses = [line["loss"] for line in read_log(RunDirectory(job.scratch / "run").log) if "loss" in line]
    # Three forward passes, as for a fully trained model, would be too much because most of the model is frozen.
    return replace(measured, outputs=measured.outputs + losses, flops=None)


def script(job: Job, in_bf16: bool, learning_rate: float, freeze: Callable[[Any], Any]) -> Measured:
    """Train as a plain Trainer script does: features are computed at each step, and logits at all positions.

    ``freeze`` returns the model with its frozen parameters.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments, set_seed

    set_seed(0)
    processor = AutoProcessor.from_pretrained(job.prepared / "checkpoint")
    model = AutoModelForImageTextToText.from_pretrained(job.prepared / "checkpoint", dtype="float32")

    def tokenize(chats: Any, **kwargs: Any) -> Any:
        padding = {"padding": True, "padding_side": "right"}
        return processor.apply_chat_template(
            chats, tokenize=True, return_dict=True, return_tensors="pt", processor_kwargs=padding, **kwargs
        )

    def message(role: str, *content: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": role, "content": list(content)}]

    def collate(batch: Any) -> dict[str, Any]:
        prompts = [
            message("user", {"type": "image", "image": row["images"][0]},
                    {"type": "text", "text": row["prompt"][0]["content"]})
            for row in batch
        ]  # fmt: skip
        answers = [message("assistant", {"type": "text", "text": row["completion"][0]["content"]}) for row in batch]
        inputs = tokenize([prompt + answer for prompt, answer in zip(prompts, answers, strict=True)])
        labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
        for index, prompt in enumerate(prompts):
            labels[index, : tokenize([prompt], add_generation_prompt=True)["input_ids"].shape[1]] = -100
            # Some templates add a line break after the end token of an answer. It is not part of the answer.
            end = (labels[index] == processor.tokenizer.eos_token_id).nonzero()[-1]
            labels[index, end + 1 :] = -100
        return {**inputs, "labels": labels}

    dataset, step_timer = prompt_completion_rows(job), training.make_step_timer()
    arguments = TrainingArguments(**peer_arguments(job, in_bf16, learning_rate), remove_unused_columns=False)
    trainer = Trainer(
        model=freeze(model), args=arguments, data_collator=collate, train_dataset=dataset, callbacks=[step_timer]
    )
    return train_peer(trainer, dataset, step_timer, in_bf16)


def train_peer(trainer: Any, dataset: Any, step_timer: Any, in_bf16: bool) -> Measured:
    """Train a peer's Trainer, which has a step timer. The outputs are the loss of the first batch and of the log."""
    batch = trainer.data_collator([dataset[index] for index in range(BATCH)])
    first_batch = training.loss_and_flops(lambda: trainer.model(**batch).loss, in_bf16)
    measured = training.train_and_measure(trainer, step_timer, BATCH, first_batch)
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return replace(measured, outputs=measured.outputs + losses, flops=None)


def peer_arguments(job: Job, in_bf16: bool, learning_rate: float) -> dict[str, Any]:
    """Return the training arguments of a peer, with the optimizer, the row order and the log lines of hfmm."""
    return training.common_arguments(job.scratch, BATCH, in_bf16) | {
        "learning_rate": learning_rate,
        "weight_decay": 0.05,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "seed": 0,
        "logging_steps": max(1, job.options["rows"] // BATCH // training.WARMUP_PARTS),
    }


def prompt_completion_rows(job: Job) -> Any:
    """Return the rows in the format of the peers: images, a prompt and its completion."""
    from datasets import Image, List, load_from_disk

    dataset = load_from_disk(str(job.prepared / "rows"))["train"]

    def split_messages(row: dict[str, Any]) -> dict[str, Any]:
        question, answer = (message["content"][-1]["text"] for message in row["messages"])
        return {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": answer}],
        }

    other_columns = [name for name in dataset.column_names if name != "images"]
    return dataset.map(split_messages, remove_columns=other_columns).cast_column("images", List(Image()))


if __name__ == "__main__":
    assemble(*map(Path, sys.argv[1:]))
