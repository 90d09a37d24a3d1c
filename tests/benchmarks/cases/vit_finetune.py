"""ViT fine-tuning: hfmm and the example script of transformers, on the 20 verbs of icons with 224 pixels."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks import rows, training
from tests.benchmarks.case import Case, Job, Measured, Side

BATCH = 16
TINY = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}


def prepare(job: Job) -> None:
    """Write the rows and a checkpoint with a head for their labels, so that all sides start with the same weights."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTConfig, set_seed

    from hfmm.assets import CHECKPOINTS

    options = {"label": "lemma", "train": job.options["rows"], "validation": 8, "test": 8, "size": 224, "seed": 0}
    dataset = rows.write("icons", job.prepared, **options)
    names = dataset["train"].features["label"].names
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    set_seed(0)
    if job.checkpoint:
        processor = AutoImageProcessor.from_pretrained(job.checkpoint)
        model = AutoModelForImageClassification.from_pretrained(
            job.checkpoint, **labels, ignore_mismatched_sizes=True, dtype="float32"
        )
    else:
        processor = AutoImageProcessor.from_pretrained(CHECKPOINTS / "tiny-vit")
        processor.size = {"height": 224, "width": 224}
        config = ViTConfig(**job.options["shape"], **labels, image_size=224, patch_size=16)
        model = AutoModelForImageClassification.from_config(config)
    model.save_pretrained(job.prepared / "checkpoint")
    processor.save_pretrained(job.prepared / "checkpoint")


def hfmm(job: Job) -> Measured:
    """Train as `hfmm run` does."""
    stage = {
        "name": "full",
        "trainable": "all",
        "num_train_epochs": 1,
        "learning_rate": 5e-5,
        "per_device_train_batch_size": BATCH,
    }
    recipe = {
        "name": "speed",
        "task": "image_classification",
        "data": rows.recipe_data(job.prepared),
        "model": {"checkpoint": str(job.prepared / "checkpoint")},
        "stages": [stage],
        "metrics": ["accuracy"],
    }
    return training.train_with_hfmm(job, recipe)


def script(job: Job, in_bf16: bool) -> Measured:
    """Train as run_image_classification.py does."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageClassification, set_seed

    set_seed(0)
    processor = AutoImageProcessor.from_pretrained(job.prepared / "checkpoint")
    model = AutoModelForImageClassification.from_pretrained(job.prepared / "checkpoint", dtype="float32")

    def collate(batch: Any) -> dict[str, Any]:
        pixels = processor([row["image"].convert("RGB") for row in batch], return_tensors="pt")
        return {**pixels, "labels": torch.tensor([row["label"] for row in batch])}

    return training.train_with_trainer(job, model, rows.load_decoded(job.prepared), collate, BATCH, in_bf16)


CASE = Case(
    title="ViT fine-tuning",
    unit="rows/s",
    family="vit",
    sizes={"small": {"rows": 12 * BATCH, "shape": TINY}, "large": {"rows": 6 * BATCH, "shape": {}}},
    prepare=prepare,
    sides=(
        Side("hfmm", hfmm),
        Side("Trainer script", partial(script, in_bf16=False), against="hfmm", target=3.2),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against="hfmm"),
    ),
)
