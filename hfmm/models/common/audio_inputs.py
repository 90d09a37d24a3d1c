"""The inputs of an audio encoder: its feature extractor, the length of a clip, and what padding does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.errors import UserError
from hfmm.models.common.checkpoint import load_pretrained
from hfmm.recipe.schema import Model

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


def check_clip_length(num_samples: int, min_samples: int, max_samples: float) -> None:
    """Raise UserError for a clip that the encoder cannot take in full."""
    seconds, shortest = num_samples / SAMPLE_RATE, min_samples / SAMPLE_RATE
    if num_samples < min_samples:
        raise UserError(f"the clip lasts {seconds:.3f} s, and the model needs at least {shortest:.3f} s")
    if num_samples > max_samples:
        limit = math.floor(max_samples / SAMPLE_RATE * 10) / 10
        raise UserError(f"the clip lasts {seconds:.1f} s, and the model reads at most {limit:g} s: cut the clip")


def num_frames(config: Any, extractor: Any, num_samples: int) -> int:
    """Return how many frames a CTC model makes of a clip."""
    if hasattr(config, "conv_kernel"):
        frames = num_samples
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            frames = (frames - kernel) // stride + 1
    else:
        encoder_config = getattr(config, "encoder_config", config)
        subsampling = getattr(encoder_config, "subsampling_factor", getattr(extractor, "stride", 1))
        is_centred = hasattr(extractor, "n_fft")  # the first window begins before the clip, as in NeMo
        num_windows = num_samples // HOP_LENGTH if is_centred else (num_samples - FRAME_LENGTH) // HOP_LENGTH
        frames = math.ceil((num_windows + 1) / subsampling)
    for _ in range(config.num_adapter_layers if getattr(config, "add_adapter", False) else 0):
        frames = (frames - 1) // config.adapter_stride + 1
    return frames


def load_feature_extractor(source: str, model_options: Model, config: Any) -> Any:
    """Return the feature extractor of a checkpoint; raises UserError if it does not take audio at our rate."""
    from transformers import AutoFeatureExtractor

    extractor = load_pretrained(AutoFeatureExtractor, source, model_options)
    if extractor.sampling_rate != SAMPLE_RATE:
        raise UserError(
            f"model.checkpoint: {model_options.checkpoint} takes audio at {extractor.sampling_rate:,} Hz, and hfmm "
            f"decodes audio at {SAMPLE_RATE:,} Hz. Choose a checkpoint for this rate."
        )
    if getattr(config, "feat_extract_norm", "") == "layer":
        extractor.return_attention_mask = True  # so that plain `pipeline` masks the padding of a batch as well
    return extractor


def extract_features(extractor: Any, clip: Any) -> dict[str, Any]:
    """Return the features of one clip as tensors, as `transformers.pipeline` computes them."""
    import torch

    # The features must not depend on the dtype in which the model computes.
    with torch.autocast("cpu", enabled=False):
        output = extractor(clip, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    return {name: values[0] for name, values in output.items()}


def pad_features(extractor: Any, clips: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch of the features of clips, each padded to the longest, with its mask where there is one."""
    from torch.nn.utils.rnn import pad_sequence

    fill = {name: 0.0 if name == "attention_mask" else extractor.padding_value for name in clips[0]}
    return {
        name: pad_sequence([clip[name] for clip in clips], batch_first=True, padding_value=value)
        for name, value in fill.items()
    }
