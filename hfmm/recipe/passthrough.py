"""Settings that a recipe passes through to the libraries, checked against the installed classes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from hfmm.errors import UserError, did_you_mean

_OWN_KEY = "set the key of the stage instead"

# Fields of TrainingArguments that hfmm sets, and the reason.
OWNED_TRAINING_ARGUMENTS = {
    "output_dir": "the folder of a run is chosen with --out",
    "do_train": "hfmm calls the steps of a run itself",
    "do_eval": "hfmm calls the steps of a run itself",
    "do_predict": "hfmm calls the steps of a run itself",
    "num_train_epochs": _OWN_KEY,
    "learning_rate": _OWN_KEY,
    "weight_decay": _OWN_KEY,
    "warmup_steps": _OWN_KEY,
    "lr_scheduler_type": _OWN_KEY,
    "per_device_train_batch_size": _OWN_KEY,
    "per_device_eval_batch_size": "validation uses per_device_train_batch_size of the stage",
    "gradient_accumulation_steps": "set gradient_accumulation of the stage instead",
    "bf16": "set precision of the recipe instead",
    "fp16": "set precision of the recipe instead",
    "use_cpu": "the device is chosen by accelerate",
    "seed": "set seed of the recipe instead",
    "torch_compile": "set torch_compile of the recipe instead",
    "report_to": "set report_to of the recipe instead",
    "dataloader_num_workers": "set dataloader_num_workers of the recipe instead",
    "eval_strategy": "each epoch is evaluated, which early stopping and the log rely on",
    "save_strategy": "checkpoints are written after each epoch and by the clock, which --resume relies on",
    "metric_for_best_model": "the first of `metrics` is the primary metric",
    "greater_is_better": "the primary metric says so",
    "load_best_model_at_end": "set early_stopping_patience of the stage instead",
    "remove_unused_columns": "tasks read columns that the model does not take",
    "label_names": "the task names its labels",
    "resume_from_checkpoint": "use `hfmm run --resume`",
    "push_to_hub": "use `hfmm publish`",
    "hub_model_id": "use `hfmm publish`",
}

# Fields of LoraConfig that hfmm sets, and the reason.
OWNED_LORA_ARGUMENTS = {
    "modules_to_save": "the model family and the earlier stages say which modules train in full",
    "task_type": "the task says how the model is called",
    "inference_mode": "the adapter is trained",
    "base_model_name_or_path": "model.checkpoint names the base model",
}

# Arguments of from_pretrained that hfmm sets, and the reason.
OWNED_LOAD_ARGUMENTS = {
    "pretrained_model_name_or_path": "set model.checkpoint instead",
    "revision": "set model.revision instead",
    "config": "the model family makes the config",
    "dtype": "weights train in fp32; set precision of the recipe for bf16",
    "torch_dtype": "weights train in fp32; set precision of the recipe for bf16",
    "output_loading_info": "hfmm reads it to find missing weights",
    "ignore_mismatched_sizes": "the model family decides which sizes may differ",
    "trust_remote_code": "hfmm never runs code of a checkpoint",
    "device_map": "the device is chosen by accelerate",
    "token": "a recipe is published; log in with `hf auth login`, or set HF_TOKEN",
    "cache_dir": "a recipe is published; set HF_HUB_CACHE on this machine",
    "force_download": "a checkpoint is loaded several times in a run; delete it from the cache instead",
    "local_files_only": "set HF_HUB_OFFLINE=1 instead",
    "state_dict": "the weights are those of the checkpoint",
}
LOAD_ARGUMENTS = ("attn_implementation", "experts_implementation", "quantization_config", "use_safetensors", "variant")


def check_training_arguments(values: Mapping[str, Any], location: str) -> None:
    """Check the ``training_arguments`` of a stage against `transformers.TrainingArguments`.

    Args:
        values: The fields that the recipe passes through.
        location: The recipe key with its file and line, for the message.

    Raises:
        UserError: A field does not exist, or hfmm sets it.

    Example:
        >>> check_training_arguments({"gradient_checkpointing": True, "optim": "adafactor"}, "stages.full")
    """
    if values:
        from transformers import TrainingArguments

        names = [field.name for field in dataclasses.fields(TrainingArguments)]
        _check_names(values, names, OWNED_TRAINING_ARGUMENTS, "TrainingArguments", location)


def check_lora_arguments(values: Mapping[str, Any], location: str) -> None:
    """Check the extra keys of ``lora`` against `peft.LoraConfig`; raises UserError like `check_training_arguments`."""
    if values:
        from peft import LoraConfig

        names = [field.name for field in dataclasses.fields(LoraConfig)]
        _check_names(values, names, OWNED_LORA_ARGUMENTS, "LoraConfig", location)


def check_load_arguments(values: Mapping[str, Any], location: str) -> None:
    """Check ``model.load`` against `from_pretrained`; raises UserError like `check_training_arguments`."""
    if values:
        from transformers import PreTrainedModel

        signature = inspect.signature(PreTrainedModel.from_pretrained).parameters
        names = list(dict.fromkeys([*LOAD_ARGUMENTS, *(name for name in signature if name not in ("args", "kwargs"))]))
        _check_names(values, names, OWNED_LOAD_ARGUMENTS, "from_pretrained", location)


def _check_names(
    values: Mapping[str, Any], names: list[str], owned: Mapping[str, str], class_name: str, location: str
) -> None:
    for name in values:
        if name in owned:
            raise UserError(f"{location}.{name}: hfmm sets this field of {class_name}: {owned[name]}.")
        if name not in names:
            hint = did_you_mean(name, [known for known in names if known not in owned])
            raise UserError(f"{location}.{name}: the installed {class_name} has no {name!r}.{hint}")
