"""A saved model with the weights of its linear layers in int8, by torchao, as plain transformers writes and loads it.

Each output channel has a scale of its own, and a product widens the weights to bf16 again: this saves bytes, not time.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hfmm.errors import UserError
from hfmm.models.common.checkpoint import load_saved
from hfmm.utils.files import atomic_file


def require_torchao(what: str) -> None:
    """Raise UserError where torchao, which ``what`` needs, is not installed."""
    if find_spec("torchao") is None:
        raise UserError(f'{what} needs torchao, which is not installed: pip install "hfmm[int8]".')


def load(directory: str) -> tuple[Any, Any]:
    """Return (model, processor) from a folder that a run wrote, the linear layers in int8 and all else in bf16.

    Whole are the output layers that transformers' configuration for torchao leaves so, and what is tied to embeddings.
    Raises UserError where torchao is missing or the folder does not load.
    """
    require_torchao("A model with int8 weights")
    from torch import nn
    from torchao.quantization import Int8WeightOnlyConfig, quantize_
    from transformers import TorchAoConfig
    from transformers.quantizers.auto import AutoHfQuantizer

    model, processor = load_saved(directory, "bfloat16")
    settings = TorchAoConfig(Int8WeightOnlyConfig())
    # What from_pretrained does with these settings, without its asking for input embeddings, which no CLIP tells.
    quantizer = AutoHfQuantizer.from_config(settings, pre_quantized=False)
    quantizer.preprocess_model(model)

    def is_chosen(module: Any, name: str) -> bool:
        return type(module) is nn.Linear and quantizer.param_needs_quantization(model, f"{name}.weight")

    quantize_(model, settings.quant_type, is_chosen)
    model.hf_quantizer = quantizer
    quantizer.postprocess_model(model)
    return model, processor


def save(directory: str, folder: Path) -> None:
    """Write a run's model with int8 weights, and its processor, to ``folder``; the same model gives the same bytes.

    Raises UserError like `load`, and where transformers reads back other weights than were written.
    """
    import torch

    model, processor = load(directory)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        _fix_safetensors_header(path)
    written, read = (
        one.hf_quantizer.get_state_dict_and_metadata(one)[0] for one in (model, load_saved(str(folder))[0])
    )
    for name, tensor in written.items():
        if name not in read or tensor.dtype != read[name].dtype or not torch.equal(tensor, read[name]):
            raise UserError(
                f"A {type(model).__name__} does not survive being saved with int8 weights: transformers reads another "
                f"{name} than it wrote. Publish the model as it is, without int8 weights."
            )


def _fix_safetensors_header(path: Path) -> None:
    """Let a file's header describe its int8 weights alone, and in one order.

    transformers splits every name that is described there at a dot, and a CLIP's ``logit_scale`` has none; and
    safetensors writes the descriptions in an order of chance, so that the same model would be another file each time.
    """
    with path.open("rb") as old, atomic_file(path) as temporary, temporary.open("wb") as new:
        header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
        told = header["__metadata__"]
        described = sorted(name for name, value in told.items() if "_tensor_data_names" in value)
        kept = {name: told[name] for name in described}
        header["__metadata__"] = {"format": told["format"], "tensor_names": json.dumps(described), **kept}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
        new.write(len(text).to_bytes(8, "little") + text)
        shutil.copyfileobj(old, new)
