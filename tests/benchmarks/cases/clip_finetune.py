"""CLIP fine-tuning on icons or pages: hfmm, sentence-transformers, open_clip and a Trainer script.

open_clip trains with its own command in fp32, because its default half precision is meant for GPUs, and again with
`amp_bf16`. Its model has the same shape but its own weights and tokens. Each text contains the index of its row, so no
text matches two images and all sides have the same loss.
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
    """Write a CLIP in the shape of the size with random weights and a character tokenizer, or --checkpoint."""
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
    """Write rows with one image and one text, and the checkpoint."""
    from datasets import Dataset

    def select_text(split: Dataset) -> Dataset:
        # Every kind of text is used equally often, because some have five times as many tokens as others.
        texts = [f"{index}: {captions[index % len(captions)]}" for index, captions in enumerate(split["captions"])]
        rows_without_text = split.select_columns(["id", "image"])
        return (
            rows_without_text.add_column("text", texts)
            .add_column("captions", [[text] for text in texts])
            .add_column("group", rows_without_text["id"][:])
        )

    options = {"train": job.options["rows"], "validation": 8, "test": 8, "size": job.options["pixels"], "seed": 0}
    rows.write(job.options["builder"], job.prepared, select_text, **options)
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
    return training.train_with_hfmm(job, recipe)


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

    return training.train_with_trainer(
        job, model, rows.load_decoded(job.prepared), collate, job.options["batch"], in_bf16
    )


def sentence_transformers(job: Job, in_bf16: bool) -> Measured:
    """Train as in its documentation: with the symmetric loss and in-batch negatives."""
    import sentence_transformers as library
    from sentence_transformers.losses import MultipleNegativesSymmetricRankingLoss
    from transformers import set_seed

    set_seed(0)
    folder, batch_size = str(job.prepared / "checkpoint"), job.options["batch"]
    model = library.SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": "float32"})
    logit_scale = next(value for name, value in model.named_parameters() if name.endswith("logit_scale"))
    loss = MultipleNegativesSymmetricRankingLoss(model, scale=float(logit_scale.exp()))
    step_timer = training.make_step_timer()
    trainer = library.SentenceTransformerTrainer(
        model=model,
        args=library.SentenceTransformerTrainingArguments(
            **training.common_arguments(job.scratch, batch_size, in_bf16)
        ),
        train_dataset=rows.load_decoded(job.prepared).select_columns(["image", "text"]),
        loss=loss,
        callbacks=[step_timer],
    )
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(batch_size)])
    first_batch = training.loss_and_flops(lambda: loss(*trainer.collect_features(batch)), in_bf16)
    return training.train_and_measure(trainer, step_timer, batch_size, first_batch)


def open_clip(job: Job, precision: str) -> Measured:
    """Train with its own command, open_clip_train, and take the times of the steps from its log."""
    import open_clip as library
    import torch
    from open_clip_train.main import main

    from hfmm.utils.hardware import peak_memory_mb

    batch = job.options["batch"]
    (job.scratch / "shape.json").write_text(json.dumps(OPEN_CLIP[job.options["open_clip"]]))
    library.add_model_config(job.scratch / "shape.json")
    table = ["filepath\ttitle"]
    for index, row in enumerate(rows.load_decoded(job.prepared)):
        row["image"].convert("RGB").save(job.scratch / f"{index}.png")
        table.append(f"{job.scratch / f'{index}.png'}\t{row['text']}")
    (job.scratch / "rows.csv").write_text("\n".join(table))
    times: list[float] = []

    class StepHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Train Epoch" in record.getMessage():
                times.append(time.perf_counter())

    logging.getLogger().addHandler(StepHandler())
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
    _, flops = training.count_flops(lambda: model(torch.zeros(1, 3, size, size), torch.zeros(1, 77, dtype=torch.long)))
    return Measured(training.rate(times, batch), flops=training.FORWARD_AND_BACKWARD * flops, memory_mib=memory)


OWN_WEIGHTS = "weights and tokens of its own"
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
            "sentence-transformers", partial(sentence_transformers, in_bf16=False), against="hfmm", needs=ST, target=2.5
        ),
        Side(
            "sentence-transformers, bf16 by hand", partial(sentence_transformers, in_bf16=True), "hfmm", needs=ST
        ),
        Side(
            "open_clip", partial(open_clip, precision="fp32"), "hfmm", needs=OC, target=2.5,
            not_comparable=OWN_WEIGHTS,
        ),
        Side(
            "open_clip, bf16 by hand", partial(open_clip, precision="amp_bf16"), "hfmm", needs=OC,
            not_comparable=OWN_WEIGHTS,
        ),
        Side("Trainer script", partial(script, in_bf16=False), against="hfmm"),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against="hfmm"),
    ),
)  # fmt: skip
