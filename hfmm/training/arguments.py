"""What transformers' Trainer is told about a stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hfmm.recipe.schema import Recipe
from hfmm.utils.progress import is_interactive

if TYPE_CHECKING:
    from transformers import TrainingArguments


def training_arguments(
    recipe: Recipe, index: int, folder: Path, rows: int, greater_is_better: bool, bf16: bool, passes: int
) -> TrainingArguments:
    """Return the arguments of one stage: what the recipe says, and what we set for all.

    ``rows`` is how many rows train; ``passes`` how many batches of the stage the task takes at once.
    """
    from accelerate import PartialState
    from transformers import TrainingArguments

    stage = recipe.stages[index]
    steps_an_epoch = max(1, rows // (stage.per_device_train_batch_size * stage.gradient_accumulation))
    made = TrainingArguments(
        output_dir=str(folder.resolve()),
        per_device_train_batch_size=stage.per_device_train_batch_size * passes,
        per_device_eval_batch_size=stage.per_device_train_batch_size,
        gradient_accumulation_steps=stage.gradient_accumulation // passes,
        num_train_epochs=stage.num_train_epochs,
        learning_rate=stage.learning_rate,
        weight_decay=stage.weight_decay,
        warmup_steps=stage.warmup_steps,
        lr_scheduler_type=stage.lr_scheduler_type,
        optim="adamw_torch_fused",
        use_cpu=PartialState().device.type == "cpu",  # else bf16 is refused there
        bf16=bf16,
        torch_compile=recipe.torch_compile,
        seed=recipe.seed + index,
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model=recipe.metrics[0],
        greater_is_better=greater_is_better,
        load_best_model_at_end=stage.early_stopping_patience is not None,
        logging_steps=max(1, steps_an_epoch // 5),
        logging_nan_inf_filter=False,  # else a loss that is no number looks like the one before it
        report_to=recipe.report_to or "none",
        disable_tqdm=not is_interactive(),
        dataloader_num_workers=recipe.dataloader_num_workers,
        dataloader_persistent_workers=recipe.dataloader_num_workers > 0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    # One process trains on one GPU, and `accelerate launch` starts one for each. Left to itself the Trainer would split
    # a batch over all that there are by nn.DataParallel, and take a larger one than the recipe says.
    made._n_gpu = min(1, made.n_gpu)
    return made
