"""Quantize the frozen weights of a model while an adapter trains (QLoRA, Dettmers et al. 2023, arXiv:2305.14314)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from hfmm.errors import UserError, did_you_mean

PACKAGES = {"BitsAndBytesConfig": "bitsandbytes", "TorchAoConfig": "torchao"}
KEY = "model.load.quantization_config"


def make_quantization_config(values: Any, where: str = KEY) -> Any:
    """Return the quantization config that a recipe names.

    Args:
        values: The ``name`` of the class and its arguments. An argument that is an object of `torchao.quantization` is
            written in the same way, as ``{quant_type: {name: Int8WeightOnlyConfig}}``.
        where: The recipe key with its file and line, for messages.

    Raises:
        UserError: The class is not supported, its package is not installed, or it does not take an argument.
    """
    name = values.get("name") if isinstance(values, Mapping) else values
    if name not in PACKAGES:
        raise UserError(
            f"{where}: give the `name` of a config class and its arguments, for example {{name: BitsAndBytesConfig, "
            f"load_in_4bit: true}}. hfmm trains adapters on weights that {' or '.join(PACKAGES)} quantizes, not "
            f"{name!r}."
        )
    package = PACKAGES[name]
    if find_spec(package) is None:
        raise UserError(f"{where}: {name} needs the package {package}, which is not installed: pip install {package}.")
    import transformers

    arguments = {key: value for key, value in values.items() if key != "name"} if isinstance(values, Mapping) else {}
    return _construct(getattr(transformers, name), arguments, where)


def check_supported_shapes(model: Any, name: str) -> None:
    """Raise UserError for a 4-bit layer that the CPU kernels of bitsandbytes cannot multiply.

    These kernels need rows that are whole blocks, which few tiny models have.
    """
    for module_name, module in model.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None and model.device.type == "cpu" and state.shape[-1] % state.blocksize:
            raise UserError(
                f"{KEY}: on a CPU, bitsandbytes needs layers whose input size is a multiple of {state.blocksize}, and "
                f"{module_name} of {name} takes {state.shape[-1]}. Train on a GPU, add the layer to "
                "llm_int8_skip_modules, or remove the key."
            )


def _construct(config_class: Any, arguments: Mapping[str, Any], where: str) -> Any:
    parameters = [name for name in inspect.signature(config_class).parameters if name != "kwargs"]
    for name in arguments:
        if name not in parameters:
            hint = did_you_mean(name, parameters)
            raise UserError(f"{where}.{name}: the installed {config_class.__name__} has no {name!r}.{hint}")
    try:
        return config_class(**{name: _resolve(value, f"{where}.{name}") for name, value in arguments.items()})
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"{where}: {config_class.__name__} does not take these arguments: {error}") from error


def _resolve(value: Any, where: str) -> Any:
    """Return an argument, or the object of `torchao.quantization` that it names."""
    if not isinstance(value, Mapping):
        return value
    module = import_module("torchao.quantization")
    names = [name for name in vars(module) if name.endswith("Config")]
    if value.get("name") not in names:
        raise UserError(
            f"{where}: torchao.quantization has no {value.get('name')!r}.{did_you_mean(str(value.get('name')), names)}"
        )
    return _construct(
        getattr(module, value["name"]), {name: item for name, item in value.items() if name != "name"}, where
    )
