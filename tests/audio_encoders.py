"""Tiny audio encoders with random weights, and clips of different lengths for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hfmm.data.common.audio import SAMPLE_RATE, encode

KINDS = ("wav2vec2-layer", "wav2vec2-group", "hubert-layer", "hubert-group", "audio-spectrogram-transformer")
SECONDS = (0.3, 0.5, 0.51, 0.9, 1.3, 0.4, 0.7, 0.35)


def save_audio_encoder(kind: str, folder: Path) -> Path:
    """Save a base model without a head, and its feature extractor. Whisper has a fixture of its own."""
    from transformers import ASTFeatureExtractor, AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    extractor: Any
    if kind == "audio-spectrogram-transformer":
        config = AutoConfig.for_model(kind, **sizes, max_length=150, num_mel_bins=32)
        extractor = ASTFeatureExtractor(max_length=150, num_mel_bins=32)
    else:
        model_type, _, norm = kind.partition("-")
        convolutions = {"conv_dim": (16, 16), "conv_kernel": (10, 4), "conv_stride": (10, 8)}
        config = AutoConfig.for_model(
            model_type, **sizes, **convolutions, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer",
            num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
            classifier_proj_size=8,
        )  # fmt: skip
        extractor = Wav2Vec2FeatureExtractor()
    AutoModel.from_config(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def samples(index: int) -> np.ndarray:
    """Return a clip: a tone in noise, of another length and pitch for each index."""
    count = round(SAMPLE_RATE * SECONDS[index % len(SECONDS)])
    noise = 0.05 * np.random.default_rng(index).standard_normal(count)
    clip: np.ndarray = (noise + 0.2 * np.sin(np.arange(count) * (index + 1) / 20)).astype(np.float32)
    return clip


def audio_row(index: int, **columns: Any) -> dict[str, Any]:
    """Return the row of a clip."""
    return {"id": str(index), "audio": encode(samples(index)), "label": index % 3, "group": str(index)} | columns
