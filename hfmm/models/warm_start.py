"""The vision tower of a CLIP or SigLIP that begins with the weights of a ViT of the same size."""

from __future__ import annotations

from typing import Any

# ViT's names -> CLIP's and SigLIP's.
NAMES = (
    ("embeddings.patch_embeddings.projection.", "embeddings.patch_embedding."),
    ("layers.", "encoder.layers."),
    (".attention.o_proj.", ".self_attn.out_proj."),
    (".attention.", ".self_attn."),
    (".layernorm_before.", ".layer_norm1."),
    (".layernorm_after.", ".layer_norm2."),
    ("layernorm.", "post_layernorm."),
)


def warm_start(tower: Any, vit: Any) -> None:
    """Copy the tensors of ``vit`` to their counterparts in ``tower``; what only the tower has stays as it is.

    CLIP has no bias in its patch embedding, but one position a patch, so the bias moves there; the normalisation
    before its first layer is set to leave tokens about as long as they are. SigLIP has no class token. Raises
    ValueError where a shape differs.
    """
    import torch

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
    for name, tensor in from_vit.items():
        if name not in own or own[name].shape != tensor.shape:
            theirs = tuple(own[name].shape) if name in own else "nothing"
            raise ValueError(f"the ViT has {name} of shape {tuple(tensor.shape)}, the vision tower {theirs}")
    tower.load_state_dict(from_vit, strict=False)
    if "pre_layrnorm.weight" in own:
        with torch.no_grad():
            config = tower.config
            noise = torch.randn(16, config.num_channels, config.image_size, config.image_size)
            tower.pre_layrnorm.weight.fill_(tower.embeddings(noise).std(-1).mean())


def _renamed(name: str) -> str:
    for theirs, own in NAMES:
        if theirs.startswith("."):
            name = name.replace(theirs, own)
        elif name.startswith(theirs):
            name = own + name.removeprefix(theirs)
    return name
