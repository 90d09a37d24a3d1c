"""Give a classifier a head for new labels: reorder the rows of a trained head, or initialize it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def output_layers(model: Any, head: Iterable[str], count: int) -> list[Any]:
    """Return the layers of the modules ``head`` that return ``count`` logits. A distilled model has two."""
    layers = [layer for name in head for layer in model.get_submodule(name).modules()]
    return [layer for layer in layers if getattr(layer, "out_features", None) == count]


def permute_head(model: Any, head: Iterable[str], order: Sequence[int]) -> None:
    """Reorder the rows of a head: row i becomes the old row ``order[i]``."""
    for layer in output_layers(model, head, len(order)):
        for parameter in layer.parameters():
            parameter.data = parameter.data[order]


def reinit_head(model: Any, head: Iterable[str], count: int) -> None:
    """Reinitialize a head that was trained for ``count`` other labels."""
    from torch import nn

    for layer in output_layers(model, head, count):
        # transformers does not initialize a layer again after loading its weights, so a new layer is initialized.
        new_layer = nn.Linear(layer.in_features, count, bias=layer.bias is not None)
        model._init_weights(new_layer)
        layer.load_state_dict(new_layer.state_dict())
