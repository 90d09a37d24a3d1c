"""The number of tokens of one sentence as icon, as photographed page, as speech and as text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from PIL import Image

from hfmm.data import icons, pages
from hfmm.errors import UserError
from hfmm.grammar.verbs import VerbCell
from hfmm.models.common import checkpoint
from hfmm.recipe.schema import Model

matplotlib.use("Agg")
from matplotlib import pyplot

SIDE = 224  # pixels of the sample images; the processor resizes them to the input size of its checkpoint


class TokenCount(NamedTuple):
    """The number of tokens that one checkpoint needs for a sentence in one modality."""

    checkpoint: str
    modality: str  # icon, page, speech or text
    tokens: int
    how: str  # how the number was computed


def count_tokens(checkpoints: list[str], text: str, seconds: float) -> list[TokenCount]:
    """Count the tokens of a sentence in every modality that each checkpoint supports.

    Args:
        checkpoints: Model folders, Hub ids, or ``builtin:<name>``.
        text: The sentence.
        seconds: The duration of the spoken sentence.

    Returns:
        One count per checkpoint and modality.

    Raises:
        UserError: A checkpoint could not be loaded, or it supports none of the modalities.
    """
    counts = []
    for name in checkpoints:
        model_options = Model(checkpoint=name)
        source = checkpoint.resolve_checkpoint(model_options)
        config = checkpoint.config(source, model_options)
        checkpoint_counts = [
            TokenCount(name, modality, tokens, how)
            for modality, tokens, how in _count_for_checkpoint(config, *_load_processors(source), text, seconds)
        ]
        if not checkpoint_counts:
            raise UserError(
                f"{name} ({config.model_type}) has no image processor, feature extractor or tokenizer, so there is "
                "nothing to count. Pass a ViT, CLIP, SigLIP, Whisper or language model."
            )
        counts += checkpoint_counts
    return counts


def _load_processors(source: str) -> tuple[Any, Any, Any]:
    """Return the image processor, feature extractor and tokenizer of a checkpoint, or None for each that is missing."""
    import transformers

    processors = []
    for auto_class in (transformers.AutoImageProcessor, transformers.AutoFeatureExtractor, transformers.AutoTokenizer):
        try:
            processors.append(auto_class.from_pretrained(source))
        except (OSError, ValueError, KeyError, TypeError, ImportError):
            processors.append(None)
    image_processor, feature_extractor, tokenizer = processors
    # AutoTokenizer returns an empty tokenizer for a folder without tokenizer files.
    return image_processor, feature_extractor, tokenizer if tokenizer is not None and tokenizer.vocab_size else None


def _count_for_checkpoint(
    config: Any, image_processor: Any, feature_extractor: Any, tokenizer: Any, text: str, seconds: float
) -> list[tuple[str, int, str]]:
    counts = []
    vision_config = getattr(config, "vision_config", config)
    if image_processor is not None and getattr(vision_config, "patch_size", None):
        counts += [
            (name, *image_tokens(image_processor, vision_config, image)) for name, image in _sample_images(text).items()
        ]
    if feature_extractor is not None and hasattr(feature_extractor, "sampling_rate"):
        counts.append(("speech", *speech_tokens(feature_extractor, config, seconds)))
    if tokenizer is not None:
        ids = tokenizer(text)["input_ids"]
        num_special = len(ids) - len(tokenizer(text, add_special_tokens=False)["input_ids"])
        counts.append(("text", len(ids), f"{len(ids) - num_special} subwords and {num_special} special tokens"))
    return counts


def image_tokens(processor: Any, config: Any, image: Image.Image) -> tuple[int, str]:
    """Return the number of patches of an image, without the class token, and how it was computed.

    Raises UserError if the image processor returns patches in a layout that hfmm does not know.
    """
    inputs = processor(images=[image], return_tensors="np")
    if "spatial_shapes" in inputs:  # the processor cuts the patches itself and keeps the aspect ratio
        rows, columns = (int(size) for size in inputs["spatial_shapes"][0])
        return rows * columns, f"{rows} x {columns} patches, aspect ratio kept"
    shape = np.shape(inputs.get("pixel_values"))
    if len(shape) < 4:
        raise UserError(
            f"A {type(processor).__name__} cuts images into patches without reporting their rows and columns, so its "
            "tokens cannot be counted. Pass a ViT, CLIP, SigLIP or LLaVA checkpoint."
        )
    tiles, (height, width) = math.prod(shape[:-3]), shape[-2:]
    size = config.patch_size
    patch_height, patch_width = size if isinstance(size, (tuple, list)) else (size, size)
    how = f"{width} x {height} pixels in patches of {patch_width} x {patch_height}"
    num_patches = tiles * (height // patch_height) * (width // patch_width)
    return num_patches, f"{tiles} tiles of {how}" if tiles > 1 else how


def speech_tokens(extractor: Any, config: Any, seconds: float) -> tuple[int, str]:
    """Return the number of audio encoder outputs of a clip, without padding, and how it was computed."""
    clip = np.zeros(round(seconds * extractor.sampling_rate), dtype=np.float32)
    if hasattr(extractor, "hop_length") and hasattr(config, "max_source_positions"):
        frames = len(clip) // extractor.hop_length
        stride = extractor.nb_max_frames // config.max_source_positions
        padded = f"{config.max_source_positions} after padding to {extractor.chunk_length} s"
        return frames // stride, f"{frames} mel frames, {stride} per token; {padded}"
    if hasattr(config, "conv_stride"):
        length = len(clip)
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            length = (length - kernel) // stride + 1
        return length, f"{len(clip)} samples, {int(np.prod(config.conv_stride))} per token"
    raise UserError(
        f"The config of a {config.model_type!r} model does not say how many outputs it computes per second of audio, "
        "so its tokens cannot be counted. Pass a Whisper, wav2vec 2.0 or HuBERT checkpoint."
    )


def _sample_images(text: str) -> dict[str, Image.Image]:
    """Return an icon with the longest word of the sentence, and a page with the sentence."""
    rng = np.random.default_rng(0)
    word = max(text.split(), key=len)
    font = icons.FONTS["train"][0]
    return {
        "icon": icons.draw(VerbCell(word, "present", "3sg"), font, "plain", SIDE, rng),
        "page": pages.draw(text, font, SIDE, rng),
    }


def draw(counts: list[TokenCount], title: str, path: Path) -> None:
    """Plot a bar for each count."""
    figure, axis = pyplot.subplots(figsize=(7, 0.9 + 0.34 * len(counts)), layout="constrained")
    colors = {"icon": "tab:blue", "page": "tab:cyan", "speech": "tab:green", "text": "tab:orange"}
    names = [f"{count.modality}, {count.checkpoint}" for count in counts]
    bars = axis.barh(
        range(len(counts)), [count.tokens for count in counts], color=[colors[count.modality] for count in counts]
    )
    axis.bar_label(bars, padding=3, fontsize=8)
    axis.set_yticks(range(len(counts)), names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set(xlabel="tokens", title=title)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
