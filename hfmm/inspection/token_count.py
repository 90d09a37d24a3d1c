"""How many tokens one sentence costs as icon, as photographed page, as speech and as text."""

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

SIDE = 224  # pixels of the drawn pictures; a processor resizes them to what its checkpoint reads


class TokenCount(NamedTuple):
    """What a sentence costs one checkpoint in one modality."""

    checkpoint: str
    modality: str  # icon, page, speech or text
    tokens: int
    how: str  # where the number comes from


def count_tokens(checkpoints: list[str], text: str, seconds: float) -> list[TokenCount]:
    """Return the costs of every modality that each checkpoint's processor reads.

    Raises UserError for a checkpoint that cannot be had, and for one that reads none of them.
    """
    found = []
    for name in checkpoints:
        spec = Model(checkpoint=name)
        source = checkpoint.resolve_checkpoint(spec)
        config = checkpoint.config(source, spec)
        own = [
            TokenCount(name, modality, tokens, how)
            for modality, tokens, how in _count_for_checkpoint(config, *_processors(source), text, seconds)
        ]
        if not own:
            raise UserError(
                f"{name} ({config.model_type}) has no processor that cuts pictures into patches, speech into frames or "
                "text into tokens, so there is nothing to count. Give a ViT, CLIP, SigLIP, Whisper or language model."
            )
        found += own
    return found


def _processors(source: str) -> tuple[Any, Any, Any]:
    """Return the image processor, feature extractor and tokenizer of a checkpoint, None for what it has not."""
    import transformers

    parts = []
    for auto in (transformers.AutoImageProcessor, transformers.AutoFeatureExtractor, transformers.AutoTokenizer):
        try:
            parts.append(auto.from_pretrained(source))
        except (OSError, ValueError, KeyError, TypeError, ImportError):
            parts.append(None)
    images, sounds, tokenizer = parts
    # A folder without tokenizer files gets an empty tokenizer of its model type.
    return images, sounds, tokenizer if tokenizer is not None and tokenizer.vocab_size else None


def _count_for_checkpoint(
    config: Any, images: Any, sounds: Any, tokenizer: Any, text: str, seconds: float
) -> list[tuple[str, int, str]]:
    found = []
    vision = getattr(config, "vision_config", config)
    if images is not None and getattr(vision, "patch_size", None):
        found += [(name, *image_tokens(images, vision, picture)) for name, picture in _sample_images(text).items()]
    if sounds is not None and hasattr(sounds, "sampling_rate"):
        found.append(("speech", *speech_tokens(sounds, config, seconds)))
    if tokenizer is not None:
        ids = tokenizer(text)["input_ids"]
        special = len(ids) - len(tokenizer(text, add_special_tokens=False)["input_ids"])
        found.append(("text", len(ids), f"{len(ids) - special} subwords and {special} special tokens"))
    return found


def image_tokens(processor: Any, config: Any, picture: Image.Image) -> tuple[int, str]:
    """Return the number of patches that a vision tower makes of a picture, class token not counted, and how.

    Raises UserError for a processor that cuts the patches in a way of its own.
    """
    inputs = processor(images=[picture], return_tensors="np")
    if "spatial_shapes" in inputs:  # the processor cuts the patches itself and keeps the picture's proportions
        rows, columns = (int(one) for one in inputs["spatial_shapes"][0])
        return rows * columns, f"{rows} x {columns} patches of its own proportions"
    shape = np.shape(inputs.get("pixel_values"))
    if len(shape) < 4:
        raise UserError(
            f"A {type(processor).__name__} makes patches of a picture, and neither says how many rows and columns of "
            "them nor leaves the cutting to the model, so its tokens cannot be counted. Those of ViT, CLIP, SigLIP and "
            "LLaVA checkpoints do."
        )
    tiles, (height, width) = math.prod(shape[:-3]), shape[-2:]
    size = config.patch_size
    high, wide = size if isinstance(size, (tuple, list)) else (size, size)
    how = f"{width} x {height} pixels in patches of {wide} x {high}"
    return tiles * (height // high) * (width // wide), f"{tiles} tiles of {how}" if tiles > 1 else how


def speech_tokens(extractor: Any, config: Any, seconds: float) -> tuple[int, str]:
    """Return the number of vectors that an audio encoder makes of a clip, and how; padding is not counted."""
    rate = extractor.sampling_rate
    clip = np.zeros(round(seconds * rate), dtype=np.float32)
    if hasattr(extractor, "hop_length") and hasattr(config, "max_source_positions"):
        frames = len(clip) // extractor.hop_length
        stride = extractor.nb_max_frames // config.max_source_positions
        window = f"; padded to {extractor.chunk_length} s, {config.max_source_positions}"
        return frames // stride, f"{frames} mel frames, every {stride} one vector{window}"
    if hasattr(config, "conv_stride"):
        length = len(clip)
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            length = (length - kernel) // stride + 1
        return length, f"{len(clip)} samples, every {int(np.prod(config.conv_stride))} one vector"
    raise UserError(
        f"A {config.model_type!r} model says nothing of how many vectors it makes of a second of sound, so its tokens "
        "cannot be counted. Whisper, wav2vec 2.0 and HuBERT checkpoints do."
    )


def _sample_images(text: str) -> dict[str, Image.Image]:
    """Return the sentence's icon, which carries its longest word, and its page."""
    rng = np.random.default_rng(0)
    word = max(text.split(), key=len)
    font = icons.FONTS["train"][0]
    return {
        "icon": icons.draw(VerbCell(word, "present", "3sg"), font, "plain", SIDE, rng),
        "page": pages.draw(text, font, SIDE, rng),
    }


def draw(found: list[TokenCount], title: str, path: Path) -> None:
    """Draw a bar for every cost."""
    figure, axis = pyplot.subplots(figsize=(7, 0.9 + 0.34 * len(found)), layout="constrained")
    colors = {"icon": "tab:blue", "page": "tab:cyan", "speech": "tab:green", "text": "tab:orange"}
    names = [f"{one.modality}, {one.checkpoint}" for one in found]
    bars = axis.barh(range(len(found)), [one.tokens for one in found], color=[colors[one.modality] for one in found])
    axis.bar_label(bars, padding=3, fontsize=8)
    axis.set_yticks(range(len(found)), names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set(xlabel="tokens", title=title)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
