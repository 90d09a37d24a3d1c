"""Initialize the vision tower of a CLIP or SigLIP with the weights of a ViT, or of the tower of another model."""

from __future__ import annotations

from typing import Any

# Parts of the parameter names of ViT, and their names in CLIP and SigLIP.
KEY_MAPPING = (
    ("embeddings.patch_embeddings.projection.", "embeddings.patch_embedding."),
    ("layers.", "encoder.layers."),
    (".attention.o_proj.", ".self_attn.out_proj."),
    (".attention.", ".self_attn."),
    (".layernorm_before.", ".layer_norm1."),
    (".layernorm_after.", ".layer_norm2."),
    ("layernorm.", "post_layernorm."),
)


def copy_vit_weights(tower: Any, source: Any) -> None:
    """Copy the tensors of ``source``, a ViT or a tower of the same class, to their counterparts in ``tower``.

    Tensors that only the tower has are not changed. Raises ValueError if a shape differs.
    """
    same_class = type(source) is type(tower)
    _copy(tower, source.state_dict() if same_class else _convert_vit(tower, source))
    if not same_class and "pre_layrnorm.weight" in tower.state_dict():
        _calibrate_pre_layernorm(tower)


def _convert_vit(tower: Any, vit: Any) -> dict[str, Any]:
    """Return the tensors of ``vit`` under the names of ``tower``.

    The patch embedding of CLIP has no bias. The bias is added to the position embeddings, of which each patch has one.
    SigLIP has no class token.
    """
    tensors = {_convert_name(name): tensor for name, tensor in vit.state_dict().items()}
    tower_tensors = tower.state_dict()
    positions = tensors.pop("embeddings.position_embeddings")[0]
    token = tensors.pop("embeddings.cls_token")[0, 0]
    if "embeddings.class_embedding" in tower_tensors:
        positions = positions.clone()
        positions[1:] += tensors.pop("embeddings.patch_embedding.bias")
        tensors["embeddings.class_embedding"] = token
    else:
        positions = positions[1:]
    tensors["embeddings.position_embedding.weight"] = positions
    return tensors


def _copy(tower: Any, tensors: dict[str, Any]) -> None:
    tower_tensors = tower.state_dict()
    for name, tensor in tensors.items():
        if name not in tower_tensors or tower_tensors[name].shape != tensor.shape:
            expected = f"needs {tuple(tower_tensors[name].shape)}" if name in tower_tensors else "has no such tensor"
            raise ValueError(f"its {name} has the shape {tuple(tensor.shape)}, and the vision tower {expected}")
    tower.load_state_dict(tensors, strict=False)


def _calibrate_pre_layernorm(tower: Any) -> None:
    """Scale the layer norm before the first layer of CLIP so that it hardly changes the norm of the tokens."""
    import torch

    with torch.no_grad():
        config = tower.config
        noise = torch.randn(16, config.num_channels, config.image_size, config.image_size)
        tower.pre_layrnorm.weight.fill_(tower.embeddings(noise).std(-1).mean())


def _convert_name(name: str) -> str:
    for vit_key, clip_key in KEY_MAPPING:
        if vit_key.startswith("."):
            name = name.replace(vit_key, clip_key)
        elif name.startswith(vit_key):
            name = clip_key + name.removeprefix(vit_key)
    return name
