"""A complete `hfmm run vit_icons`, phase by phase, and a Trainer script that does the same work.

Both build the same icons, train the same stages, save the model, reload it and score the same test rows. The figure is
the time until the scores are known. The script has no resume, screening, fingerprint, intervals, plots, card or
verification. The details list the time of hfmm for each phase, and the share of its total time that is not arithmetic.
"""

from __future__ import annotations

import time
from typing import Any

from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.sampling import Sampler

PHASES = ("data", "train", "evaluate", "card", "verify")
SHARE = "share outside model arithmetic, until verified"


def hfmm(job: Job) -> Measured:
    """Run the recipe, including the verification."""
    start = time.perf_counter()
    ends = {}
    with Sampler() as sampler:
        from hfmm.utils import imports

        imports.pause_gc_for_imports()
        from hfmm.recipe.load import load_recipe
        from hfmm.run import run_recipe

        ends["start"] = time.perf_counter()
        arithmetic = {"start": sampler.arithmetic}

        def report(step: str, text: str) -> None:
            if step in PHASES:
                ends[step], arithmetic[step] = time.perf_counter(), sampler.arithmetic

        run_recipe(load_recipe("vit_icons", job.options["overrides"]), job.scratch / "run", False, report)
    total = ends["verify"] - start
    details, last_end, last_arithmetic = {}, start, 0.0
    for phase, end in ends.items():
        details[f"{phase}, s"] = end - last_end
        details[f"{phase}, arithmetic, s"] = arithmetic[phase] - last_arithmetic
        last_end, last_arithmetic = end, arithmetic[phase]
    details |= {"verified, s": total, SHARE: 1 - sampler.arithmetic / total}
    return Measured(ends["evaluate"] - start, details=details)


def script(job: Job) -> Measured:
    """Do the same work with a Trainer script."""
    start = time.perf_counter()
    import torch
    from transformers import (
        AutoImageProcessor,
        AutoModelForImageClassification,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from hfmm.assets import CHECKPOINTS
    from hfmm.data import icons
    from hfmm.recipe.load import load_recipe

    set_seed(0)
    recipe = load_recipe("vit_icons", job.options["overrides"])
    sizes = {name: value for name, value in recipe.data.options.items() if name in ("train", "validation", "test")}
    data = icons.build(icons.IconsOptions(**sizes), job.scratch / "data", 2)
    names = data["train"].features["label"].feature.names
    source = str(CHECKPOINTS / "tiny-vit")
    processor = AutoImageProcessor.from_pretrained(source)
    model = AutoModelForImageClassification.from_pretrained(
        source, id2label=dict(enumerate(names)), label2id={name: index for index, name in enumerate(names)},
        problem_type="multi_label_classification", ignore_mismatched_sizes=True, dtype="float32",
    )  # fmt: skip

    def collate(rows: Any) -> dict[str, Any]:
        labels = torch.zeros(len(rows), len(names))
        for index, row in enumerate(rows):
            labels[index, row["label"]] = 1
        return {**processor([row["image"].convert("RGB") for row in rows], return_tensors="pt"), "labels": labels}

    def compute_metrics(prediction: Any) -> dict[str, float]:
        scores, labels = map(torch.as_tensor, (prediction.predictions, prediction.label_ids))
        parts = [slice(0, 20), slice(20, 25), slice(25, 28)]
        is_correct = [scores[:, part].argmax(-1) == labels[:, part].argmax(-1) for part in parts]
        return {"accuracy": float(torch.stack(is_correct).all(0).float().mean())}

    for stage in recipe.stages:
        for parameter in model.base_model.parameters():
            parameter.requires_grad = stage.trainable == "all"
        arguments = TrainingArguments(
            output_dir=str(job.scratch / stage.name), num_train_epochs=stage.num_train_epochs,
            learning_rate=stage.learning_rate, per_device_train_batch_size=stage.per_device_train_batch_size,
            per_device_eval_batch_size=stage.per_device_train_batch_size, weight_decay=0.05, warmup_steps=0.1,
            lr_scheduler_type="cosine", bf16=True, use_cpu=True, eval_strategy="epoch", save_strategy="epoch",
            save_total_limit=1, report_to="none", remove_unused_columns=False, label_names=["labels"],
            disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(
            model=model, args=arguments, data_collator=collate, train_dataset=data["train"],
            eval_dataset=data["validation"], processing_class=processor, compute_metrics=compute_metrics,
        )  # fmt: skip
        trainer.train()
    trainer.save_model(str(job.scratch / "model"))
    trainer.model = AutoModelForImageClassification.from_pretrained(job.scratch / "model")
    trainer.evaluate(data["test"])
    return Measured(time.perf_counter() - start, memory_mib=peak_memory_mb())


SMALL_OVERRIDES = [
    "data.train=64",
    "data.validation=32",
    "data.test=40",
    "stages.head.num_train_epochs=1",
    "stages.full.num_train_epochs=2",
]
CASE = Case(
    title="A whole run, to its scores",
    unit="s",
    sizes={"small": {"overrides": SMALL_OVERRIDES}, "large": {"overrides": []}},
    limits={"large": {SHARE: 0.25}},
    sides=(
        Side("hfmm run vit_icons", hfmm),
        Side(
            "bare Trainer script, bf16 by hand",
            script,
            against="hfmm run vit_icons",
            not_comparable="the loss of transformers",
        ),
    ),
)
