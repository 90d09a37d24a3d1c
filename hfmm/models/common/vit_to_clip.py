"""The vision tower of a CLIP or SigLIP that begins with the weights of a ViT, or of another model's tower."""

from __future__ import annotations

from typing import Any

# ViT's names -> CLIP's and SigLIP's.
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
    """Copy the tensors of ``source``, a ViT or a tower of the same make, to their counterparts in ``tower``.

    What only the tower has stays as it is. Raises ValueError where a shape differs.
    """
    same_make = type(source) is type(tower)
    _copy(tower, source.state_dict() if same_make else _from_vit(tower, source))
    if not same_make and "pre_layrnorm.weight" in tower.state_dict():
        _calibrate_pre_layernorm(tower)


def _from_vit(tower: Any, vit: Any) -> dict[str, Any]:
    """Return the tensors of ``vit`` under the names that ``tower`` has for them.

    CLIP has no bias in its patch embedding, but one position a patch, so the bias moves there. SigLIP has no class
    token.
    """
    from_vit = {_renamed(name): tensor for name, tensor in vit.state_dict().items()}
    own = tower.state_dict()
    positions = from_vit.pop("embeddings.position_embeddings")[0]
    token = from_vit.pop("embeddings.cls_token")[0, 0]
    if "embeddings.class_embedding" in own:
        positions = positions.clone()
        positions[1:] += from_vit.pop("embeddings.patch_embedding.bias")
        from_vit["embeddings.class_embedding"] = token
    else:
        positions = positions[1:]
    from_vit["embeddings.position_embedding.weight"] = positions
    return from_vit


def _copy(tower: Any, tensors: dict[str, Any]) -> None:
    own = tower.state_dict()
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            here = tuple(own[name].shape) if name in own else "nothing"
            raise ValueError(f"its {name} is of shape {tuple(tensor.shape)}, the vision tower has {here}")
    tower.load_state_dict(tensors, strict=False)


def _calibrate_pre_layernorm(tower: Any) -> None:
    """Set the normalisation before CLIP's first layer to leave tokens about as long as they are."""
    import torch

    with torch.no_grad():
        config = tower.config
        noise = torch.randn(16, config.num_channels, config.image_size, config.image_size)
        tower.pre_layrnorm.weight.fill_(tower.embeddings(noise).std(-1).mean())


def _renamed(name: str) -> str:
    for theirs, own in KEY_MAPPING:
        if theirs.startswith("."):
            name = name.replace(theirs, own)
        elif name.startswith(theirs):
            name = own + name.removeprefix(theirs)
    return name
