"""What an audio encoder can take: how long a clip may be, and whether clips can share a batch."""

from __future__ import annotations

import math
from typing import Any

PADDING_SENSITIVE = ("data2vec-audio", "wav2vec2-conformer")  # their attention masks do not hide the padding
FRAME_LENGTH, HOP_LENGTH = 400, 160  # samples of a spectrogram frame


def ignores_padding(config: Any) -> bool:
    """Tell whether a clip has the same logits in every batch. A group norm over time includes the padding."""
    has_group_norm = getattr(config, "feat_extract_norm", "") == "group"
    return not has_group_norm and config.model_type not in PADDING_SENSITIVE


def clip_lengths(config: Any, extractor: Any) -> tuple[int, float]:
    """Return the minimum and the maximum number of samples of a clip."""
    if config.model_type == "whisper":
        return 1, extractor.n_samples
    if not hasattr(config, "conv_kernel"):
        max_frames = getattr(extractor, "max_length", math.inf)
        return FRAME_LENGTH + HOP_LENGTH, FRAME_LENGTH + HOP_LENGTH * (max_frames - 1)
    length = getattr(config, "squeeze_factor", 1)
    for kernel, stride in list(zip(config.conv_kernel, config.conv_stride, strict=True))[::-1]:
        length = (length - 1) * stride + kernel
    return length, math.inf
