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


def encoder_name(model: Any) -> str:
    """Return the name of the module of a classifier or a CTC model that makes frames of the audio."""
    return "encoder" if hasattr(model, "encoder") else str(model.base_model_prefix)


def head_names(model: Any) -> list[str]:
    """Return the names of the modules of the head: the children besides the encoder that have weights."""
    children = model.named_children()
    return [name for name, child in children if name != encoder_name(model) and any(True for _ in child.parameters())]


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


def frame_lengths(model: Any, clips: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return how many frames each of some clips has on its own, by the model's own arithmetic."""
    import torch

    subsample = getattr(model, "_get_feat_extract_output_lengths", None) or model._get_subsampling_output_length
    return [int(length) for length in subsample(torch.tensor([len(clip[model.main_input_name]) for clip in clips]))]


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
