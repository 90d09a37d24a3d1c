"""Cut or extend the window of a Whisper encoder: its positions and the length of its feature extractor's output."""

from __future__ import annotations

from typing import Any


def set_window(config: Any, extractor: Any, seconds: int) -> None:
    """Set the window of a config and of its feature extractor to ``seconds``."""
    config.max_source_positions = config.max_source_positions * seconds // extractor.chunk_length
    extractor.chunk_length = seconds
    extractor.n_samples = seconds * extractor.sampling_rate
    extractor.nb_max_frames = extractor.n_samples // extractor.hop_length


def resize_positional_embedding(encoder: Any, count: int) -> None:
    """Keep the first ``count`` positions of the encoder, or append more. They are sinusoids and never trained."""
    import torch
    from torch import nn
    from transformers.models.whisper.modeling_whisper import sinusoids

    checkpoint_positions = encoder.embed_positions.weight[:count].detach()
    appended = sinusoids(count, checkpoint_positions.shape[1])[len(checkpoint_positions) :]
    encoder.embed_positions = nn.Embedding.from_pretrained(torch.cat([checkpoint_positions, appended]), freeze=True)
    encoder.max_source_positions = count
