from typing import Any

import pytest

from hfmm.models.common.vit_to_clip import copy_vit_weights

SIZE = {"num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 16, "hidden_act": "gelu"}
WIDTH = {"hidden_size": 16, "intermediate_size": 32}


@pytest.fixture
def vit() -> Any:
    from transformers import ViTConfig, ViTModel

    model = ViTModel(ViTConfig(**SIZE, **WIDTH, layer_norm_eps=1e-6), add_pooling_layer=False).eval()
    model.embeddings.patch_embeddings.projection.bias.data.normal_()
    return model


def test_siglip_tower_equals_the_vit_without_a_class_token(vit: Any) -> None:
    import torch
    from transformers import SiglipVisionConfig, SiglipVisionModel

    tower = SiglipVisionModel(SiglipVisionConfig(**SIZE, **WIDTH, layer_norm_eps=1e-6)).eval()
    copy_vit_weights(tower, vit)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        tokens = vit.embeddings(pixels)[:, 1:]
        for layer in vit.layers:
            tokens = layer(tokens)
        assert torch.allclose(tower(pixels).last_hidden_state, vit.layernorm(tokens), atol=1e-5)


def test_clip_tower_has_the_embeddings_of_the_vit(vit: Any) -> None:
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    tower = CLIPVisionModel(CLIPVisionConfig(**SIZE, **WIDTH)).eval()
    copy_vit_weights(tower, vit)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        embeddings, expected = tower.embeddings(pixels), vit.embeddings(pixels)
        assert torch.allclose(embeddings, expected, atol=1e-5)
        assert 0.5 < tower.pre_layrnorm(embeddings).std() / embeddings.std() < 2
    copied = tower.state_dict()["encoder.layers.1.mlp.fc2.weight"]
    assert copied.equal(vit.state_dict()["layers.1.mlp.fc2.weight"])


def test_vit_of_another_size_raises_error(vit: Any) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    tower = CLIPVisionModel(CLIPVisionConfig(**SIZE, hidden_size=32, intermediate_size=32))
    with pytest.raises(ValueError, match="has the shape"):
        copy_vit_weights(tower, vit)


def test_tower_of_the_same_class_is_copied_whole() -> None:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    tower, other = (SiglipVisionModel(SiglipVisionConfig(**SIZE, **WIDTH)) for _ in range(2))
    copy_vit_weights(tower, other)
    assert all(tensor.equal(other.state_dict()[name]) for name, tensor in tower.state_dict().items())
