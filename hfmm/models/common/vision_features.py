"""What a vision encoder gives a language model to read: from which layer, how many features, which are no patches."""

from __future__ import annotations

from typing import Any, NamedTuple

from hfmm.errors import UserError


class VisionFeatures(NamedTuple):
    """The features of one picture, as LLaVA's config and processor describe them."""

    layer: int  # index among the encoder's hidden states, counted from either end
    patch_size: int
    rows: int
    columns: int
    extra: int  # features that are no patches: a class token, registers

    @property
    def feature_select_strategy(self) -> str:
        """LLaVA's name for what it selects: `default` drops the first feature, a class token; `full` drops none."""
        return "default" if self.extra else "full"

    @property
    def num_image_tokens(self) -> int:
        """How many features the language model reads."""
        return self.rows * self.columns + max(0, self.extra - 1)


def vision_features(config: Any, image_processor: Any, layer: int | None, name: str) -> VisionFeatures:
    """Return what the encoder of a vision ``config`` gives for a picture; no weights are needed to know it.

    Without a ``layer`` it is the last, or the last but one where there is a class token: the last layer of such an
    encoder serves that token (Liu et al. 2023, arXiv:2304.08485, found the one before it better to read from).
    Raises UserError for a layer that does not exist and for an encoder, called ``name``, that does not give one
    feature a patch.
    """
    height, width = _input_size(image_processor, name)
    shapes = _hidden_state_shapes(config, height, width, name)
    layers, patch = len(shapes) - 1, getattr(config, "patch_size", None)
    if not isinstance(patch, int) or any(len(shape) != 2 for shape in shapes):
        raise _no_patches(config, name, shapes[-1])
    rows, columns = height // patch, width // patch
    extra = shapes[-1][0] - rows * columns
    if layer is None:
        layer = -2 if extra and layers > 1 else -1
    if not 1 <= abs(layer) <= layers:
        raise UserError(
            f"model.vision_feature_layer: {name} has no layer {layer}. It has {layers}: count from 1, the first, to {layers}, "
            f"or back from -1, the last, to -{layers}."
        )
    if extra < 0 or shapes[layer] != (rows * columns + extra, config.hidden_size):
        raise _no_patches(config, name, shapes[layer])
    return VisionFeatures(layer, patch, rows, columns, extra)


def _input_size(image_processor: Any, name: str) -> tuple[int, int]:
    """Return height and width in pixels of every picture that the image processor makes."""
    from PIL import Image

    sizes = set()
    for size in ((64, 48), (48, 64)):
        pixels = image_processor(Image.new("RGB", size), return_tensors="np")["pixel_values"]
        sizes.add(tuple(pixels.shape[1:]))
    height, width = next(iter(sizes))[-2:]
    if len(sizes) > 1 or pixels.ndim != 4:
        raise UserError(
            f"model.checkpoint: the image processor of {name} gives pictures of different shapes, {sorted(sizes)}, "
            "while LLaVA reads them in one. Save the checkpoint with one that crops or resizes to a fixed size."
        )
    return height, width


def _hidden_state_shapes(config: Any, height: int, width: int, name: str) -> list[tuple[int, ...]]:
    """Return the shape of each hidden state for one picture, found on a device that computes shapes only."""
    import torch
    from transformers import AutoModel

    try:
        with torch.device("meta"):
            tower = AutoModel.from_config(config).eval()
            pixels = torch.zeros(1, config.num_channels, height, width)
        states = tower(pixels, output_hidden_states=True).hidden_states
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"model.checkpoint: {name} is a {config.model_type!r} model that cannot be LLaVA's vision tower, which is "
            f"given {height} x {width} pixels and nothing else. The library said: {str(error).splitlines()[0]}"
        ) from error
    return [tuple(state.shape[1:]) for state in states]


def _no_patches(config: Any, name: str, shape: tuple[int, ...]) -> UserError:
    return UserError(
        f"model.checkpoint: {name} is a {config.model_type!r} model that gives a picture features of shape {shape}, "
        "while LLaVA reads one of `hidden_size` for each patch. Choose a CLIP, SigLIP, ViT or DINOv2 checkpoint."
    )
