"""Trainable parameters: freezing modules, LoRA adapters, the parameter table, and merging the adapter."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hfmm.errors import UserError
from hfmm.models.common.batch import unwrap_adapter
from hfmm.models.common.family import ModelFamily
from hfmm.recipe.schema import Stage


class ModuleParameters(NamedTuple):
    """One line of the parameter table."""

    module: str
    parameters: int
    trainable: int


def set_trainable(model: Any, stage: Stage, family: ModelFamily, trained_before: Iterable[str], recipe_key: str) -> Any:
    """Return the model with exactly the stage's parameters trainable, wrapped by peft for LoRA.

    ``trained_before`` names the modules that earlier stages trained fully. With LoRA they continue to train next to the
    adapter and are saved with it. Names of single parameters are not supported by peft, so these stay frozen.
    Parameters that the architecture keeps fixed (Whisper's sinusoidal positions) are never trainable. The same is true
    of parameters that the family reports as unused (vision layers after the one that LLaVA takes its features from).
    Raises UserError for a module name that the model does not have. ``recipe_key`` is the recipe key of these names.
    """
    check_module_names(model, stage, recipe_key)
    unused = family.unused_parameters(model)
    if stage.trainable == "lora":
        return _with_lora(model, stage, family, trained_before, unused)
    allowed = {id(value) for name, value in model.named_parameters() if value.requires_grad and name not in unused}
    for parameter in model.parameters():
        parameter.requires_grad = stage.trainable == "all" and id(parameter) in allowed
    direct_parameters = dict(model.named_parameters(recurse=False))
    for name in stage.trainable if isinstance(stage.trainable, list) else ():
        is_parameter = name in direct_parameters
        for parameter in [direct_parameters[name]] if is_parameter else model.get_submodule(name).parameters():
            parameter.requires_grad = id(parameter) in allowed
    return model


def check_module_names(model: Any, stage: Stage, recipe_key: str) -> None:
    """Raise UserError if a stage names a module that the model does not have. ``recipe_key`` starts the message."""
    modules = dict(model.named_modules()) | dict(model.named_parameters(recurse=False))
    for name in stage.trainable if isinstance(stage.trainable, list) else ():
        if name not in modules or not name:
            choices = [module for module in modules if module and module.count(".") < 2]
            raise UserError(f"{recipe_key}: the model has no module {name!r}. It has {', '.join(choices)}.")


def _with_lora(
    model: Any, stage: Stage, family: ModelFamily, trained_before: Iterable[str], unused: Collection[str]
) -> Any:
    from peft import LoraConfig, get_peft_model

    used_modules = [name for name in family.target_modules(model) if f"{name}.weight" not in unused]
    config = LoraConfig(
        r=stage.lora.r,
        lora_alpha=stage.lora.lora_alpha,
        lora_dropout=stage.lora.lora_dropout,
        target_modules=stage.lora.target_modules or used_modules,
        modules_to_save=sorted({*family.modules_to_save(model), *trained_before}),
        **stage.lora.options,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"stages.{stage.name}.lora.target_modules: {error}") from error


def load_adapter(model: Any, folder: Path) -> Any:
    """Return the model with the adapter loaded from a folder."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder)


def copy_adapter(folder: Path, out: Path, base: str) -> None:
    """Copy a saved adapter. The config of the copy names the base checkpoint instead of a folder of the run."""
    # The README.md is the empty template of peft.
    shutil.copytree(folder, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md"))
    config_path = out / "adapter_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
    config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def parameter_table(model: Any) -> list[ModuleParameters]:
    """Return the number of parameters and of trainable parameters of the model's modules, two levels deep."""
    inner = unwrap_adapter(model)
    rows: dict[str, list[int]] = {}
    for name, parameter in inner.named_parameters():
        parts = [part for part in name.split(".") if part not in ("modules_to_save", "default", "original_module")]
        if "original_module" in name:
            continue  # peft keeps the original of a fully trained module, which the forward pass does not use
        counts = rows.setdefault(".".join(parts[: 2 if len(parts) > 2 else 1]), [0, 0])
        quantized = getattr(parameter, "quant_state", None)  # two 4-bit values share a byte
        size = math.prod(quantized.shape) if quantized is not None else parameter.numel()
        counts[0] += size
        counts[1] += size if parameter.requires_grad else 0
    return [ModuleParameters(name, total, trainable) for name, (total, trainable) in rows.items()]


def format_parameter_table(modules: Sequence[ModuleParameters]) -> str:
    """Return the parameter table of a stage as text, one module per line."""
    total, trainable = sum(row.parameters for row in modules), sum(row.trainable for row in modules)
    lines = [f"{trainable:,} of {total:,} parameters are trainable"]
    for name, parameters, trained in modules:
        state = "frozen" if not trained else "trainable" if trained == parameters else f"{trained:,} trainable"
        lines.append(f"  {name:<32} {parameters:>12,}  {state}")
    return "\n".join(lines)


def modules_without_gradient(model: Any) -> list[str]:
    """Return the modules whose direct trainable parameters all have no gradient."""
    names = []
    for name, module in model.named_modules():
        parameters = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        if parameters and all(parameter.grad is None for parameter in parameters):
            names.append(name)
    return names


def merge_adapter(model: Any, batch: Any) -> tuple[Any, float]:
    """Return the model with its adapter merged, and the largest difference of the logits of a batch from before."""
    import torch

    model.eval()
    with torch.no_grad():
        before = _logits(model(**batch))
        merged = model.merge_and_unload()
        after = _logits(merged(**batch))
    return merged, float(before.sub_(after).abs_().max())  # in place: the logits can be larger than the model


def _logits(output: Any) -> Any:
    return output.logits if "logits" in output else output.logits_per_image


def adapter_is_complete(stages: Sequence[Stage], folder: Path) -> bool:
    """Return whether the last stage's adapter in ``folder`` holds every tensor that differs from the checkpoint.

    It does not if an earlier stage trained all parameters, another adapter (which was merged), or a single parameter of
    the model such as `logit_scale`, because an adapter only holds modules.
    """
    from safetensors import safe_open

    *earlier, last = stages
    if last.trainable != "lora" or not all(isinstance(stage.trainable, list) for stage in earlier):
        return False
    with safe_open(folder / "adapter_model.safetensors", "pt") as tensors:
        keys = list(tensors.keys())
    return all(any(f".{name}." in key for key in keys) for stage in earlier for name in stage.trainable)
