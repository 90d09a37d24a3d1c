"""The `TrainingArguments` of a stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfmm.recipe.schema import Recipe
from hfmm.utils.progress import is_interactive

if TYPE_CHECKING:
    from transformers import TrainingArguments


def training_arguments(
    recipe: Recipe, index: int, folder: Path, num_rows: int, greater_is_better: bool, bf16: bool, num_chunks: int
) -> TrainingArguments:
    """Return the `TrainingArguments` of one stage: fixed settings, the keys of the recipe and what it passes through.

    ``num_rows`` is the number of training rows. ``num_chunks`` is the number of GradCache chunks: the task receives
    that many of the stage's batches at once.
    """
    from accelerate import PartialState
    from transformers import TrainingArguments

    stage = recipe.stages[index]
    steps_per_epoch = max(1, num_rows // (stage.per_device_train_batch_size * stage.gradient_accumulation))
    settings: dict[str, Any] = dict(
        output_dir=str(folder.resolve()),
        per_device_train_batch_size=stage.per_device_train_batch_size * num_chunks,
        per_device_eval_batch_size=stage.per_device_train_batch_size,
        gradient_accumulation_steps=stage.gradient_accumulation // num_chunks,
        num_train_epochs=stage.num_train_epochs,
        learning_rate=stage.learning_rate,
        weight_decay=stage.weight_decay,
        warmup_steps=stage.warmup_steps,
        lr_scheduler_type=stage.lr_scheduler_type,
        optim="adamw_torch_fused",
        use_cpu=PartialState().device.type == "cpu",  # otherwise bf16 is rejected on the CPU
        bf16=bf16,
        torch_compile=recipe.torch_compile,
        seed=recipe.seed + index,
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model=recipe.metrics[0],
        greater_is_better=greater_is_better,
        load_best_model_at_end=stage.early_stopping_patience is not None,
        logging_steps=max(1, steps_per_epoch // 5),
        logging_nan_inf_filter=False,  # otherwise a NaN loss is logged as the previous loss
        report_to=recipe.report_to or "none",
        disable_tqdm=not is_interactive(),
        dataloader_num_workers=recipe.dataloader_num_workers,
        dataloader_persistent_workers=recipe.dataloader_num_workers > 0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    arguments = TrainingArguments(**settings | stage.training_arguments)
    # Each process trains on one GPU, and `accelerate launch` starts one process per GPU. With more GPUs in one process,
    # the Trainer would use nn.DataParallel and a larger batch than the recipe sets.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments
