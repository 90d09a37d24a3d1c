"""Give a classifier a head for new labels: reorder the rows of a trained head, or initialize it again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def set_labels(config: Any, names: Sequence[str]) -> list[str]:
    """Set the label names of a config, and return the names that it had."""
    old_names = [config.id2label[index] for index in sorted(config.id2label)]
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    return old_names


def fit_trained_head(model: Any, head: Collection[str], old_names: Sequence[str], names: Sequence[str]) -> bool:
    """Reorder the rows of a head for the same labels, or reinitialize a head for as many other labels.

    Args:
        model: The model, whose head was loaded without a missing or mismatched tensor.
        head: The names of the modules of the head.
        old_names: The label names for which the head was trained.
        names: The label names that it gets.

    Returns:
        Whether the head was kept.
    """
    from torch import nn

    is_kept = sorted(old_names) == sorted(names)
    for layer in _output_layers(model, head, len(names)):
        if is_kept:
            for parameter in layer.parameters():
                parameter.data = parameter.data[[old_names.index(name) for name in names]]
        else:
            # transformers does not initialize a layer again after loading its weights, so a new layer is initialized.
            new_layer = nn.Linear(layer.in_features, len(names), bias=layer.bias is not None)
            model._init_weights(new_layer)
            layer.load_state_dict(new_layer.state_dict())
    return is_kept


def _output_layers(model: Any, head: Collection[str], count: int) -> list[Any]:
    """Return the layers of a head that return ``count`` logits. A distilled model has two."""
    layers = [layer for name in head for layer in model.get_submodule(name).modules()]
    return [layer for layer in layers if getattr(layer, "out_features", None) == count]
