"""CLIP fine-tuning beside sentence-transformers, open_clip and a Trainer script: icons or pages and their texts.

open_clip trains through its own command in fp32, because the half precision that it chooses is meant for GPUs, and
once more with `amp_bf16` given by hand; the model has the same shape, its weights and its tokens are its own. Every
text carries the number of its row, so that none is right for two pictures and all sides have the same loss.
"""

from __future__ import annotations

import json
import logging
import time
from functools import partial
from typing import Any

from tests.benchmarks import rows, training
from tests.benchmarks.case import Case, Job, Measured, Side

VISION = {"image_size": 64, "patch_size": 8, "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3}
TEXT = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
SMALL = {"vision_config": VISION | {"intermediate_size": 768}, "text_config": TEXT, "projection_dim": 128}
OPEN_CLIP: dict[str, dict[str, Any]] = {
    "small": {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 64, "layers": 4, "width": 192, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4},
    },
    "large": {
        "embed_dim": 512,
        "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
    },
}


def write_checkpoint(job: Job) -> None:
    """Write a CLIP of the size's shape with random weights, which reads letter by letter, or the one given by hand."""
    from transformers import AutoModel, AutoProcessor, CLIPConfig, CLIPModel, set_seed

    from hfmm.assets import CHECKPOINTS

    set_seed(0)
    processor = AutoProcessor.from_pretrained(job.checkpoint or CHECKPOINTS / "tiny-clip")
    if job.checkpoint:
        model = AutoModel.from_pretrained(job.checkpoint, dtype="float32")
    else:
        tokenizer = processor.tokenizer
        special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
        config = CLIPConfig(**job.options["shape"])
        config.text_config.update(special)
        size = config.vision_config.image_size
        processor.image_processor.size = {"height": size, "width": size}
        tokenizer.model_max_length = config.text_config.max_position_embeddings
        model = CLIPModel(config)
    model.save_pretrained(job.prepared / "checkpoint")
    processor.save_pretrained(job.prepared / "checkpoint")


def prepare(job: Job) -> None:
    """Write rows of a picture and one text, and the checkpoint."""
    from datasets import Dataset

    def one_text(split: Dataset) -> Dataset:
        # One of a row's texts, of every kind alike: some have five times the tokens of others.
        texts = [f"{index}: {captions[index % len(captions)]}" for index, captions in enumerate(split["captions"])]
        kept = split.select_columns(["id", "image"])
        return (
            kept.add_column("text", texts)
            .add_column("captions", [[text] for text in texts])
            .add_column("group", kept["id"][:])
        )

    size = {"train": job.options["rows"], "validation": 8, "test": 8, "size": job.options["pixels"], "seed": 0}
    rows.write(job.options["builder"], job.prepared, one_text, **size)
    write_checkpoint(job)


def hfmm(job: Job) -> Measured:
    """Train as `hfmm run` does."""
    batch = job.options["batch"]
    recipe = {
        "name": "speed",
        "task": "contrastive",
        "data": rows.recipe_data(job.prepared),
        "model": {"checkpoint": str(job.prepared / "checkpoint")},
        "stages": [
            {
                "name": "align",
                "trainable": "all",
                "num_train_epochs": 1,
                "learning_rate": 5e-5,
                "per_device_train_batch_size": batch,
            }
        ],
        "metrics": ["retrieval"],
    }
    return training.own(job, recipe)


def script(job: Job, in_bf16: bool) -> Measured:
    """Train as run_clip.py does."""
    from transformers import AutoModel, AutoProcessor, set_seed

    set_seed(0)
    processor = AutoProcessor.from_pretrained(job.prepared / "checkpoint")
    model = AutoModel.from_pretrained(job.prepared / "checkpoint", dtype="float32")

    def collate(batch: Any) -> dict[str, Any]:
        inputs = processor(
            text=[row["text"] for row in batch],
            images=[row["image"].convert("RGB") for row in batch],
            padding=True,
            return_tensors="pt",
        )
        return {**inputs, "return_loss": True}

    return training.plain(job, model, rows.decoded(job.prepared), collate, job.options["batch"], in_bf16)


def sentence_transformers(job: Job, in_bf16: bool) -> Measured:
    """Train as its documentation does: the symmetric loss over the batch's own negatives."""
    import sentence_transformers as library
    from sentence_transformers.losses import MultipleNegativesSymmetricRankingLoss
    from transformers import set_seed

    set_seed(0)
    folder, batch_size = str(job.prepared / "checkpoint"), job.options["batch"]
    model = library.SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": "float32"})
    factor = next(value for name, value in model.named_parameters() if name.endswith("logit_scale"))
    loss = MultipleNegativesSymmetricRankingLoss(model, scale=float(factor.exp()))
    steps = training.stopwatch()
    trainer = library.SentenceTransformerTrainer(
        model=model,
        args=library.SentenceTransformerTrainingArguments(**training.common(job.scratch, batch_size, in_bf16)),
        train_dataset=rows.decoded(job.prepared).select_columns(["image", "text"]),
        loss=loss,
        callbacks=[steps],
    )
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(batch_size)])
    before = training.counted(lambda: loss(*trainer.collect_features(batch)), in_bf16)
    return training.watched(trainer, steps, batch_size, before)


def open_clip(job: Job, precision: str) -> Measured:
    """Train by its own command, open_clip_train, and read the times off its log of every step."""
    import open_clip as library
    import torch
    from open_clip_train.main import main

    from hfmm.utils.hardware import peak_memory_mb

    batch = job.options["batch"]
    (job.scratch / "shape.json").write_text(json.dumps(OPEN_CLIP[job.options["open_clip"]]))
    library.add_model_config(job.scratch / "shape.json")
    table = ["filepath\ttitle"]
    for index, row in enumerate(rows.decoded(job.prepared)):
        row["image"].convert("RGB").save(job.scratch / f"{index}.png")
        table.append(f"{job.scratch / f'{index}.png'}\t{row['text']}")
    (job.scratch / "rows.csv").write_text("\n".join(table))
    times: list[float] = []

    class Steps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Train Epoch" in record.getMessage():
                times.append(time.perf_counter())

    logging.getLogger().addHandler(Steps())
    options = {
        "train-data": job.scratch / "rows.csv",
        "dataset-type": "csv",
        "model": "shape",
        "batch-size": batch,
        "epochs": 1,
        "lr": 5e-5,
        "warmup": 2,
        "workers": torch.get_num_threads(),
        "precision": precision,
        "device": "cpu",
        "log-every-n-steps": 1,
        "save-frequency": 0,
        "logs": job.scratch,
    }
    main([word for name, value in options.items() for word in (f"--{name}", str(value))])
    memory = peak_memory_mb()
    model = library.create_model("shape")
    size = OPEN_CLIP[job.options["open_clip"]]["vision_cfg"]["image_size"]
    _, flops = training.operations(lambda: model(torch.zeros(1, 3, size, size), torch.zeros(1, 77, dtype=torch.long)))
    return Measured(training.rate(times, batch), flops=training.FORWARD_AND_BACKWARD * flops, memory_mib=memory)


OWN = "weights and tokens of its own"
ST, OC = ("sentence_transformers",), ("open_clip", "torchvision", "webdataset")
CASE = Case(
    title="CLIP fine-tuning",
    unit="rows/s",
    family="clip",
    sizes={
        "small": {
            "builder": "icons", "pixels": 64, "rows": 12 * 128, "batch": 128, "shape": SMALL, "open_clip": "small",
        },
        "large": {"builder": "pages", "pixels": 224, "rows": 6 * 32, "batch": 32, "shape": {}, "open_clip": "large"},
    },
    prepare=prepare,
    sides=(
        Side("hfmm", hfmm),
        Side(
            "sentence-transformers", partial(sentence_transformers, in_bf16=False), against="hfmm", needs=ST, asked=2.5
        ),
        Side(
            "sentence-transformers, bf16 by hand", partial(sentence_transformers, in_bf16=True), "hfmm", needs=ST
        ),
        Side("open_clip", partial(open_clip, precision="fp32"), "hfmm", needs=OC, asked=2.5, differs=OWN),
        Side("open_clip, bf16 by hand", partial(open_clip, precision="amp_bf16"), "hfmm", needs=OC, differs=OWN),
        Side("Trainer script", partial(script, in_bf16=False), against="hfmm"),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against="hfmm"),
    ),
)  # fmt: skip
