"""The speedup of `torch.compile` for inference on inputs of one shape, and the time of the first call.

    python -m tests.benchmarks.compiled

The weights are random, because compilation only depends on shapes. Both variants run in turn in one process under the
settings of `hfmm predict`: its precision, and freed memory is kept.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from hfmm.models.common.malloc import configure_malloc
from hfmm.utils.hardware import inference_dtype
from tests.benchmarks.speech import WHISPER_TINY, WINDOW
from tests.benchmarks.timed import timed

REPEATS = 9
NUM_IMAGES, NUM_TEXTS, TEXT_LENGTH, NUM_CLIPS = 32, 32, 64, 16
FRAMES, MELS = 100 * WINDOW, 80


def models(dtype: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield a title, a module and its inputs."""
    import torch
    import transformers

    pixels = torch.zeros(NUM_IMAGES, 3, 224, 224, dtype=dtype)
    vit = transformers.ViTModel(transformers.ViTConfig())
    yield f"ViT-B/16, {NUM_IMAGES} images", vit, {"pixel_values": pixels}
    yield "ViT-B/16, 1 image", vit, {"pixel_values": pixels[:1]}
    text_model = transformers.CLIPTextModel(transformers.CLIPTextConfig())
    ids = torch.zeros(NUM_TEXTS, TEXT_LENGTH, dtype=torch.long)
    yield f"CLIP's text tower, {NUM_TEXTS} texts of {TEXT_LENGTH} tokens", text_model, {"input_ids": ids}
    config = transformers.WhisperConfig(**WHISPER_TINY, max_source_positions=FRAMES // 2)
    whisper = transformers.WhisperModel(config)
    features = torch.zeros(NUM_CLIPS, MELS, FRAMES, dtype=dtype)
    yield f"Whisper tiny's encoder, {NUM_CLIPS} clips of {WINDOW} s", whisper.encoder, {"input_features": features}
    yield f"Whisper tiny's encoder, 1 clip of {WINDOW} s", whisper.encoder, {"input_features": features[:1]}
    states = torch.zeros(1, FRAMES // 2, config.d_model, dtype=dtype)
    token = {"input_ids": ids[:1, :1], "encoder_hidden_states": states, "use_cache": False}
    yield "Whisper tiny's decoder, 1 token", whisper.decoder, token


def main() -> None:
    """Print one row for each model."""
    import torch

    configure_malloc()
    dtype = getattr(torch, inference_dtype("auto"))
    print("| model | not compiled, ms | compiled, ms | faster | first call, s |\n|---|---|---|---|---|")
    for title, model, inputs in models(dtype):
        model = model.to(dtype).eval()
        compiled_model = torch.compile(model, dynamic=False)
        with torch.inference_mode():
            model(**inputs)
            first_call = seconds(compiled_model, inputs)
            pairs = [(seconds(model, inputs), seconds(compiled_model, inputs)) for _ in range(REPEATS)]
        eager, compiled = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"| {title} | {eager:.1f} | {compiled:.1f} | x {eager / compiled:.2f} | {first_call:.0f} |", flush=True)


def seconds(model: Callable[..., Any], inputs: dict[str, Any]) -> float:
    """Return the time of one call."""
    with timed() as timer:
        model(**inputs)
    return timer.seconds


if __name__ == "__main__":
    main()
