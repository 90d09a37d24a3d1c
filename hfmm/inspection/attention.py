"""What a Whisper heard in one clip: its tokens, how sure it was of each, when it heard them, and where it looked."""

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

FRAMES = 2  # log-mel frames that the encoder makes one position of


class Token(NamedTuple):
    """A token that the decoder wrote, its logit and probability given those before it, and when it was heard."""

    text: str
    id: int
    logit: float
    probability: float
    start: float  # seconds
    end: float


class Word(NamedTuple):
    """The tokens of a word together; its probability is their product."""

    text: str
    probability: float
    start: float
    end: float


class TranscriptionDetails(NamedTuple):
    """One clip as a model heard it."""

    text: str
    tokens: list[Token]
    words: list[Word]
    segments: str  # the text between the timestamp tokens that the model writes when it is asked for them
    features: np.ndarray  # log-mel (bands, frames) of the clip without the silence that fills the window
    attention: np.ndarray  # (tokens, positions) of the clip, mean of the heads
    position: float  # seconds that an encoder position lasts


def transcribe_with_attention(name: str, path: Path) -> TranscriptionDetails:
    """Return what a checkpoint hears in a sound file.

    The times follow from its alignment heads; where it names none, from all heads in the upper half of the decoder.
    Raises UserError for a checkpoint that is no Whisper, and for a clip that cannot be read, is longer than its window
    or in which it hears nothing.
    """
    import torch

    model, processor = _whisper(name)
    clip = decode(str(path))
    extractor, tokenizer = processor.feature_extractor, processor.tokenizer
    if len(clip) > extractor.n_samples:
        raise UserError(
            f"{path.name} lasts {len(clip) / SAMPLE_RATE:.1f} s; {name} hears {extractor.chunk_length} s at a time: cut it."
        )
    features = extractor(clip, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
    end = tokenizer.eos_token_id  # text has the ids below it, the other special tokens those above
    with torch.inference_mode():
        said = [one for one in model.generate(input_features=features)[0].tolist() if one < end]
        timed = model.generate(input_features=features, return_timestamps=True)[0]
        start = tokenizer.prefix_tokens
        said = said[: model.config.max_target_positions - len(start) - 1]  # one that loops fills every position
        asked = torch.tensor([[*start, *said, end]])
        seen = model(input_features=features, decoder_input_ids=asked, output_attentions=True)
    if not said:
        raise UserError(f"{name} hears nothing in {path.name}.")
    # Each token is written from what the decoder made of the one before it.
    logits = seen.logits[0, len(start) - 1 : -1].float()
    chances = logits.softmax(-1)
    position = FRAMES * extractor.hop_length / SAMPLE_RATE
    positions = -(-len(clip) // (FRAMES * extractor.hop_length))
    looks = torch.stack([seen.cross_attentions[layer][0, head] for layer, head in _alignment_heads(model)])
    attention = looks[:, len(start) - 1 : -1, :positions].float().numpy()
    times = [(position * begun, position * ended) for begun, ended in alignment.token_spans(attention)]
    tokens = [
        Token(tokenizer.decode([one]), one, logits[row, one].item(), chances[row, one].item(), *times[row])
        for row, one in enumerate(said)
    ]
    return TranscriptionDetails(
        text=tokenizer.decode(said).strip(),
        tokens=tokens,
        words=list(_words(tokens)),
        segments=tokenizer.decode(timed, decode_with_timestamps=True, skip_special_tokens=True).strip(),
        features=features[0, :, : FRAMES * positions].numpy(),
        attention=attention.mean(axis=0)[:-1],
        position=position,
    )


def _alignment_heads(model: Any) -> list[tuple[int, int]]:
    """Return (layer, head) of the decoder's heads that follow the sound."""
    if named := getattr(model.generation_config, "alignment_heads", None):
        return [(layer, head) for layer, head in named]
    layers, heads = model.config.decoder_layers, model.config.decoder_attention_heads
    return [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]


def _whisper(name: str) -> tuple[Any, Any]:
    spec = Model(checkpoint=name)
    source = checkpoint.resolve_checkpoint(spec)
    config = checkpoint.config(source, spec)
    if config.model_type not in whisper.FAMILY.supported_model_types(whisper.AUTO_CLASS):
        raise UserError(
            f"{name} is a {config.model_type!r} model, which has no decoder that looks at sound: give a Whisper."
        )
    model, processor = load_saved(source)
    model = model.float().eval()
    model.set_attn_implementation("eager")  # the only one that hands its attention out
    return model, processor


def _words(tokens: list[Token]) -> list[Word]:
    """Return the words: a token that begins with a space begins one."""
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


def draw(heard: TranscriptionDetails, path: Path) -> None:
    """Draw the log-mel spectrogram, and below it for each token where the decoder looked when it wrote it."""
    seconds = heard.position * heard.attention.shape[1]
    rows = len(heard.tokens)
    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(8, 2.6 + 0.28 * rows), sharex=True, layout="constrained",
        height_ratios=[2, max(1.0, 0.28 * rows)],
    )  # fmt: skip
    above.imshow(heard.features, origin="lower", aspect="auto", extent=(0, seconds, 0, len(heard.features)))
    above.set(ylabel="mel band", title=f'"{heard.text}"')
    for word in heard.words:
        above.axvline(word.start, color="white", linewidth=0.8)
        above.text(word.start, len(heard.features), f" {word.text}", color="white", fontsize=8, va="top")
    below.imshow(heard.attention, aspect="auto", cmap="Blues", extent=(0, seconds, rows, 0))
    labels = [f"{token.text.strip() or '␣'}  {token.probability:.2f}" for token in heard.tokens]
    below.set_yticks(np.arange(rows) + 0.5, labels, fontsize=8)
    below.set(xlabel="seconds", ylabel="token and its probability")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
