"""The features of a vision encoder that a language model reads: their layer, their number and those without a patch."""

from __future__ import annotations

from typing import Any, NamedTuple

from hfmm.errors import UserError, first_line


class VisionFeatures(NamedTuple):
    """The features of an image, in the terms of the config and the processor of LLaVA."""

    layer: int  # index into the hidden states of the encoder, may be negative
    patch_size: int
    rows: int
    columns: int
    extra: int  # features besides the patches: a class token, registers

    @property
    def feature_select_strategy(self) -> str:
        """`vision_feature_select_strategy` of LLaVA: `default` drops the first feature (a class token), `full` none."""
        return "default" if self.extra else "full"

    @property
    def num_image_tokens(self) -> int:
        """The number of features that the language model reads."""
        return self.rows * self.columns + max(0, self.extra - 1)


def vision_features(config: Any, image_processor: Any, layer: int | None, name: str) -> VisionFeatures:
    """Return the features of an image. No weights are loaded.

    Args:
        config: The config of the vision encoder.
        image_processor: The image processor of the encoder.
        layer: The layer to read. By default it is the last, or the one before it if the encoder has a class token,
            because the last layer then serves this token (Liu et al. 2023, arXiv:2304.08485).
        name: The name of the checkpoint, for messages.

    Raises:
        UserError: The layer does not exist, or the encoder does not return one feature per patch.
    """
    height, width = _input_size(image_processor, name)
    shapes = _hidden_state_shapes(config, height, width, name)
    num_layers, patch_size = len(shapes) - 1, getattr(config, "patch_size", None)
    if not isinstance(patch_size, int) or any(len(shape) != 2 for shape in shapes):
        raise _patch_error(config, name, shapes[-1])
    rows, columns = height // patch_size, width // patch_size
    extra = shapes[-1][0] - rows * columns
    if layer is None:
        layer = -2 if extra and num_layers > 1 else -1
    if not 1 <= abs(layer) <= num_layers:
        raise UserError(
            f"model.vision_feature_layer: {name} has no layer {layer}. It has {num_layers} layers: use 1 (first) to "
            f"{num_layers} (last), or -1 (last) to -{num_layers} (first)."
        )
    if extra < 0 or shapes[layer] != (rows * columns + extra, config.hidden_size):
        raise _patch_error(config, name, shapes[layer])
    return VisionFeatures(layer, patch_size, rows, columns, extra)


def _input_size(image_processor: Any, name: str) -> tuple[int, int]:
    """Return the height and width in pixels that the image processor gives every image."""
    from PIL import Image

    shapes = set()
    for size in ((64, 48), (48, 64)):
        pixels = image_processor(Image.new("RGB", size), return_tensors="np")["pixel_values"]
        shapes.add(tuple(pixels.shape[1:]))
    height, width = next(iter(shapes))[-2:]
    if len(shapes) > 1 or pixels.ndim != 4:
        raise UserError(
            f"model.checkpoint: the image processor of {name} returns images of different shapes, {sorted(shapes)}. "
            "LLaVA needs a single one. Save the checkpoint with an image processor that resizes to a fixed size."
        )
    return height, width


def _hidden_state_shapes(config: Any, height: int, width: int, name: str) -> list[tuple[int, ...]]:
    """Return the shape of each hidden state of an image, computed on the meta device."""
    import torch
    from transformers import AutoModel

    try:
        with torch.device("meta"):
            tower = AutoModel.from_config(config).eval()
            pixels = torch.zeros(1, config.num_channels, height, width)
        states = tower(pixels, output_hidden_states=True).hidden_states
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"model.checkpoint: {name} is a {config.model_type!r} model, which cannot be the vision tower of "
            f"LLaVA, because its only input would be {height} x {width} pixels. The error was: {first_line(error)}"
        ) from error
    return [tuple(state.shape[1:]) for state in states]


def _patch_error(config: Any, name: str, shape: tuple[int, ...]) -> UserError:
    return UserError(
        f"model.checkpoint: {name} is a {config.model_type!r} model with features of shape {shape} per image, "
        "but LLaVA needs one of `hidden_size` per patch. Choose a CLIP, SigLIP, ViT or DINOv2 checkpoint."
    )
