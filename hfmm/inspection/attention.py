"""What a Whisper model transcribes in a clip: tokens, probabilities, times and cross-attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np

from hfmm.data.common.audio import SAMPLE_RATE, decode
from hfmm.errors import UserError
from hfmm.inspection import alignment
from hfmm.models import whisper
from hfmm.models.common import checkpoint
from hfmm.recipe.schema import Model

matplotlib.use("Agg")
from matplotlib import pyplot

from hfmm.models.common.checkpoint import load_saved

FRAMES = 2  # log-mel frames per encoder position


class Token(NamedTuple):
    """A generated token, its logit and probability given the tokens before it, and its time in the clip."""

    text: str
    id: int
    logit: float
    probability: float
    start: float  # seconds
    end: float


class Word(NamedTuple):
    """A word of one or more tokens. Its probability is the product of theirs."""

    text: str
    probability: float
    start: float
    end: float


class TranscriptionDetails(NamedTuple):
    """The transcription of one clip."""

    text: str
    tokens: list[Token]
    words: list[Word]
    segments: str  # the text with the timestamp tokens that the model generates itself
    features: np.ndarray  # log-mel spectrogram (num_mel_bins, num_frames), without the padding
    attention: np.ndarray  # (num_tokens, num_positions), mean over the heads, without the padding
    position: float  # duration of an encoder position in seconds


def transcribe_with_attention(name: str, path: Path) -> TranscriptionDetails:
    """Transcribe an audio file with a Whisper model.

    Args:
        name: A model folder, a Hub id, or ``builtin:<name>``.
        path: The audio file.

    Returns:
        The transcription. Its times come from the alignment heads of the generation config; without them, from all
        heads in the upper half of the decoder.

    Raises:
        UserError: The checkpoint is not a Whisper model, the clip cannot be read or is too long, or the model
            transcribes nothing.
    """
    import torch

    model, processor = _load_whisper(name)
    clip = decode(str(path))
    extractor, tokenizer = processor.feature_extractor, processor.tokenizer
    if len(clip) > extractor.n_samples:
        raise UserError(
            f"{path.name} has {len(clip) / SAMPLE_RATE:.1f} s, but {name} accepts at most {extractor.chunk_length} s. "
            "Cut it."
        )
    features = extractor(clip, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
    eos = tokenizer.eos_token_id  # text tokens have lower ids, the other special tokens higher ones
    with torch.inference_mode():
        ids = [token_id for token_id in model.generate(input_features=features)[0].tolist() if token_id < eos]
        ids_with_timestamps = model.generate(input_features=features, return_timestamps=True)[0]
        prefix = tokenizer.prefix_tokens
        ids = ids[: model.config.max_target_positions - len(prefix) - 1]  # a model that loops fills every position
        decoder_input_ids = torch.tensor([[*prefix, *ids, eos]])
        output = model(input_features=features, decoder_input_ids=decoder_input_ids, output_attentions=True)
    if not ids:
        raise UserError(f"{name} transcribes nothing in {path.name}.")
    # The logits of each token are at the position of the token before it.
    logits = output.logits[0, len(prefix) - 1 : -1].float()
    probabilities = logits.softmax(-1)
    position = FRAMES * extractor.hop_length / SAMPLE_RATE
    num_positions = -(-len(clip) // (FRAMES * extractor.hop_length))
    heads = torch.stack([output.cross_attentions[layer][0, head] for layer, head in _alignment_heads(model)])
    attention = heads[:, len(prefix) - 1 : -1, :num_positions].float().numpy()
    times = [(position * start, position * end) for start, end in alignment.token_spans(attention)]
    tokens = [
        Token(
            tokenizer.decode([token_id]),
            token_id,
            logits[row, token_id].item(),
            probabilities[row, token_id].item(),
            *times[row],
        )
        for row, token_id in enumerate(ids)
    ]
    return TranscriptionDetails(
        text=tokenizer.decode(ids).strip(),
        tokens=tokens,
        words=list(_words(tokens)),
        segments=tokenizer.decode(ids_with_timestamps, decode_with_timestamps=True, skip_special_tokens=True).strip(),
        features=features[0, :, : FRAMES * num_positions].numpy(),
        attention=attention.mean(axis=0)[:-1],
        position=position,
    )


def _alignment_heads(model: Any) -> list[tuple[int, int]]:
    """Return (layer, head) of the decoder heads whose cross-attention follows the audio."""
    if alignment_heads := getattr(model.generation_config, "alignment_heads", None):
        return [(layer, head) for layer, head in alignment_heads]
    num_layers, num_heads = model.config.decoder_layers, model.config.decoder_attention_heads
    return [(layer, head) for layer in range(num_layers // 2, num_layers) for head in range(num_heads)]


def _load_whisper(name: str) -> tuple[Any, Any]:
    """Return a Whisper model and its processor; raises UserError for other models."""
    model_options = Model(checkpoint=name)
    source = checkpoint.resolve_checkpoint(model_options)
    config = checkpoint.config(source, model_options)
    if config.model_type not in whisper.FAMILY.supported_model_types(whisper.AUTO_CLASS):
        raise UserError(
            f"{name} is a {config.model_type!r} model. Pass a Whisper model, whose decoder attends to the audio."
        )
    model, processor = load_saved(source)
    model = model.float().eval()
    model.set_attn_implementation("eager")  # the only implementation that returns attention weights
    return model, processor


def _words(tokens: list[Token]) -> list[Word]:
    """Group tokens into words. A token that starts with a space starts a word."""
    groups: list[list[Token]] = []
    for token in tokens:
        if token.text.startswith(" ") or not groups:
            groups.append([])
        groups[-1].append(token)
    return [
        Word(
            "".join(token.text for token in group).strip(),
            float(np.prod([token.probability for token in group])),
            group[0].start,
            group[-1].end,
        )
        for group in groups
    ]


def draw(details: TranscriptionDetails, path: Path) -> None:
    """Plot the log-mel spectrogram and, below it, the cross-attention of each token."""
    seconds = details.position * details.attention.shape[1]
    num_tokens = len(details.tokens)
    figure, (spectrogram_axis, attention_axis) = pyplot.subplots(
        2, 1, figsize=(8, 2.6 + 0.28 * num_tokens), sharex=True, layout="constrained",
        height_ratios=[2, max(1.0, 0.28 * num_tokens)],
    )  # fmt: skip
    spectrogram_axis.imshow(
        details.features, origin="lower", aspect="auto", extent=(0, seconds, 0, len(details.features))
    )
    spectrogram_axis.set(ylabel="mel band", title=f'"{details.text}"')
    for word in details.words:
        spectrogram_axis.axvline(word.start, color="white", linewidth=0.8)
        spectrogram_axis.text(word.start, len(details.features), f" {word.text}", color="white", fontsize=8, va="top")
    attention_axis.imshow(details.attention, aspect="auto", cmap="Blues", extent=(0, seconds, num_tokens, 0))
    labels = [f"{token.text.strip() or '␣'}  {token.probability:.2f}" for token in details.tokens]
    attention_axis.set_yticks(np.arange(num_tokens) + 0.5, labels, fontsize=8)
    attention_axis.set(xlabel="seconds", ylabel="token and its probability")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
