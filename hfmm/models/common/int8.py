"""Save a model with the weights of its linear layers in int8, which plain transformers loads with torchao.

Each output channel has its own scale. The weights are converted to bf16 for each product: this saves memory, not time.
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


def require_torchao(feature: str) -> None:
    """Raise UserError if torchao, which ``feature`` needs, is not installed."""
    if find_spec("torchao") is None:
        raise UserError(f'{feature} needs torchao, which is not installed: pip install "hfmm[int8]".')


def load(directory: str) -> tuple[Any, Any]:
    """Return the model and the processor from a folder that a run saved, with its linear layers in int8.

    All other weights are in bf16. So are the output layers that `TorchAoConfig` excludes, and layers that are tied to
    embeddings. Raises UserError if torchao is not installed, or if the model could not be loaded.
    """
    require_torchao("A model with int8 weights")
    from torch import nn
    from torchao.quantization import Int8WeightOnlyConfig, quantize_
    from transformers import TorchAoConfig
    from transformers.quantizers.auto import AutoHfQuantizer

    model, processor = load_saved(directory, "bfloat16")
    quantization_config = TorchAoConfig(Int8WeightOnlyConfig())
    # The steps of from_pretrained, except that it requires get_input_embeddings(), which a CLIP does not have.
    quantizer = AutoHfQuantizer.from_config(quantization_config, pre_quantized=False)
    quantizer.preprocess_model(model)

    def is_quantized(module: Any, name: str) -> bool:
        return type(module) is nn.Linear and quantizer.param_needs_quantization(model, f"{name}.weight")

    quantize_(model, quantization_config.quant_type, is_quantized)
    model.hf_quantizer = quantizer
    quantizer.postprocess_model(model)
    return model, processor


def save(directory: str, folder: Path) -> None:
    """Save the model of a run with int8 weights, and its processor, to ``folder``.

    The same model gives the same bytes. Raises UserError like `load`, and if transformers loads other weights than were
    saved.
    """
    import torch

    model, processor = load(directory)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        _fix_safetensors_header(path)
    saved, loaded = (
        quantized.hf_quantizer.get_state_dict_and_metadata(quantized)[0]
        for quantized in (model, load_saved(str(folder))[0])
    )
    for name, tensor in saved.items():
        if name not in loaded or tensor.dtype != loaded[name].dtype or not torch.equal(tensor, loaded[name]):
            raise UserError(
                f"A {type(model).__name__} cannot be saved with int8 weights: transformers loads another {name} than "
                "was saved. Publish the model without int8 weights."
            )


def _fix_safetensors_header(path: Path) -> None:
    """Rewrite the header of a file so that it describes only the int8 weights, in sorted order.

    transformers splits every described name at a dot, and the ``logit_scale`` of a CLIP has none. safetensors writes
    the descriptions in random order, so the same model would give another file each time.
    """
    with path.open("rb") as source, atomic_file(path) as temporary, temporary.open("wb") as target:
        header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
        metadata = header["__metadata__"]
        names = sorted(name for name, value in metadata.items() if "_tensor_data_names" in value)
        descriptions = {name: metadata[name] for name in names}
        header["__metadata__"] = {"format": metadata["format"], "tensor_names": json.dumps(names), **descriptions}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8 bytes
        target.write(len(text).to_bytes(8, "little") + text)
        shutil.copyfileobj(source, target)
