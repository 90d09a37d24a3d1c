"""Which parameters train: frozen modules, LoRA adapters, the table that shows it, and the merge at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from hfmm.errors import UserError
from hfmm.recipe.schema import Stage


class ModuleParameters(NamedTuple):
    """One line of the table of what trains."""

    module: str
    parameters: int
    trainable: int


def set_trainable(model: Any, stage: Stage, family: ModuleType, trained_before: Iterable[str], where: str) -> Any:
    """Return the model with exactly the stage's parameters trainable, wrapped by peft for LoRA.

    ``trained_before`` names the modules that earlier stages trained whole; with LoRA they go on training beside the
    adapter, which then carries them. A bare parameter among them, which peft does not know, stays as it is.
    What the architecture itself holds fixed, such as Whisper's sinusoidal positions, never trains, nor does what
    the family knows to be unread, such as the layers of a vision tower behind the one that LLaVA takes features from.
    Raises UserError for a module name that the model does not have; ``where`` is its recipe key.
    """
    check_module_names(model, stage, where)
    unread = family.unused_parameters(model) if hasattr(family, "unused_parameters") else set()
    if stage.trainable == "lora":
        return _with_lora(model, stage, family, trained_before, unread)
    free = {id(one) for name, one in model.named_parameters() if one.requires_grad and name not in unread}
    for parameter in model.parameters():
        parameter.requires_grad = stage.trainable == "all" and id(parameter) in free
    own = dict(model.named_parameters(recurse=False))
    for name in stage.trainable if isinstance(stage.trainable, list) else ():
        for parameter in [own[name]] if name in own else model.get_submodule(name).parameters():
            parameter.requires_grad = id(parameter) in free
    return model


def check_module_names(model: Any, stage: Stage, where: str) -> None:
    """Raise UserError where a stage names a module that the model does not have; ``where`` is its recipe key."""
    known = dict(model.named_modules()) | dict(model.named_parameters(recurse=False))
    for name in stage.trainable if isinstance(stage.trainable, list) else ():
        if name not in known or not name:
            choices = [one for one in known if one and one.count(".") < 2]
            raise UserError(f"{where}: the model has no module {name!r}. It has {', '.join(choices)}.")


def _with_lora(
    model: Any, stage: Stage, family: ModuleType, trained_before: Iterable[str], unread: Collection[str]
) -> Any:
    from peft import LoraConfig, get_peft_model

    linear = [name for name in family.target_modules(model) if f"{name}.weight" not in unread]
    config = LoraConfig(
        r=stage.lora.r,
        lora_alpha=stage.lora.lora_alpha,
        lora_dropout=stage.lora.lora_dropout,
        target_modules=stage.lora.target_modules or linear,
        modules_to_save=sorted({*family.modules_to_save(model), *trained_before}),
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"stages.{stage.name}.lora.target_modules: {error}") from error


def load_adapter(model: Any, folder: Path) -> Any:
    """Return the model with the adapter that was saved in a folder."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder)


def copy_adapter(folder: Path, out: Path, base: str) -> None:
    """Copy a saved adapter, whose config then names the checkpoint it belongs on in place of a folder of the run."""
    shutil.copytree(folder, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md"))  # peft's, unfilled
    config = out / "adapter_config.json"
    values = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
    config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def parameter_table(model: Any) -> list[ModuleParameters]:
    """Return parameters and trainable parameters of the model's modules, two levels deep."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    rows: dict[str, list[int]] = {}
    for name, parameter in inner.named_parameters():
        parts = [part for part in name.split(".") if part not in ("modules_to_save", "default", "original_module")]
        if "original_module" in name:
            continue  # peft keeps the untrained copy of a module that it trains whole; it is in no forward pass
        row = rows.setdefault(".".join(parts[: 2 if len(parts) > 2 else 1]), [0, 0])
        row[0] += parameter.numel()
        row[1] += parameter.numel() if parameter.requires_grad else 0
    return [ModuleParameters(name, total, trainable) for name, (total, trainable) in rows.items()]


def format_parameter_table(modules: Sequence[ModuleParameters]) -> str:
    """Return the table of a stage's modules, one a line."""
    total, trainable = sum(row.parameters for row in modules), sum(row.trainable for row in modules)
    lines = [f"{trainable:,} of {total:,} parameters train"]
    for name, parameters, trained in modules:
        state = "frozen" if not trained else "trains" if trained == parameters else f"{trained:,} train"
        lines.append(f"  {name:<32} {parameters:>12,}  {state}")
    return "\n".join(lines)


def modules_without_gradient(model: Any) -> list[str]:
    """Return the modules that own trainable parameters of which none has got a gradient."""
    found = []
    for name, module in model.named_modules():
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        if own and all(parameter.grad is None for parameter in own):
            found.append(name)
    return found


def merge_adapter(model: Any, batch: Any) -> tuple[Any, float]:
    """Return the model with its adapter folded in, and the largest logit difference that this made on a batch."""
    import torch

    model.eval()
    with torch.no_grad():
        before = _logits(model(**batch))
        merged = model.merge_and_unload()
        after = _logits(merged(**batch))
    return merged, float(before.sub_(after).abs_().max())  # in place: a batch's logits can outweigh the model


def _logits(output: Any) -> Any:
    return output.logits if "logits" in output else output.logits_per_image


def adapter_is_complete(stages: Sequence[Stage], folder: Path) -> bool:
    """Tell whether the adapter of the last stage, in ``folder``, holds every tensor that differs from the checkpoint.

    It does unless an earlier stage trained all parameters, another adapter, which was merged, or a parameter that
    stands in no module of its own, such as a `logit_scale`: an adapter holds modules.
    """
    from safetensors import safe_open

    *earlier, last = stages
    if last.trainable != "lora" or not all(isinstance(stage.trainable, list) for stage in earlier):
        return False
    with safe_open(folder / "adapter_model.safetensors", "pt") as tensors:
        held = list(tensors.keys())
    return all(any(f".{name}." in one for one in held) for stage in earlier for name in stage.trainable)
