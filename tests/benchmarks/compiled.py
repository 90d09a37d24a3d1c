"""What `torch.compile` gains a model that predicts in inputs of one shape, and what its first call costs.

    python -m tests.benchmarks.compiled

Random weights: what is compiled depends on shapes alone. Both ways run in turn in one process, as `hfmm predict`
computes: in its precision, with freed memory kept.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from hfmm.models.common.malloc import configure_malloc
from hfmm.utils.hardware import inference_dtype
from tests.benchmarks.speech import WHISPER_TINY, WINDOW
from tests.benchmarks.timed import timed

TIMES = 9
PICTURES, TEXTS, LENGTH, CLIPS = 32, 32, 64, 16
FRAMES, MELS = 100 * WINDOW, 80


def models(dtype: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield what is predicted, the module that does it, and its inputs."""
    import torch
    import transformers

    pixels = torch.zeros(PICTURES, 3, 224, 224, dtype=dtype)
    vit = transformers.ViTModel(transformers.ViTConfig())
    yield f"ViT-B/16, {PICTURES} pictures", vit, {"pixel_values": pixels}
    yield "ViT-B/16, 1 picture", vit, {"pixel_values": pixels[:1]}
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig())
    ids = torch.zeros(TEXTS, LENGTH, dtype=torch.long)
    yield f"CLIP's text tower, {TEXTS} texts of {LENGTH} tokens", text, {"input_ids": ids}
    config = transformers.WhisperConfig(**WHISPER_TINY, max_source_positions=FRAMES // 2)
    whisper = transformers.WhisperModel(config)
    heard = torch.zeros(CLIPS, MELS, FRAMES, dtype=dtype)
    yield f"Whisper tiny's encoder, {CLIPS} clips of {WINDOW} s", whisper.encoder, {"input_features": heard}
    yield f"Whisper tiny's encoder, 1 clip of {WINDOW} s", whisper.encoder, {"input_features": heard[:1]}
    states = torch.zeros(1, FRAMES // 2, config.d_model, dtype=dtype)
    token = {"input_ids": ids[:1, :1], "encoder_hidden_states": states, "use_cache": False}
    yield "Whisper tiny's decoder, 1 token", whisper.decoder, token


def main() -> None:
    """Print a row for each model."""
    import torch

    configure_malloc()
    dtype = getattr(torch, inference_dtype("auto"))
    print("| model | as it is, ms | compiled, ms | faster | first call, s |\n|---|---|---|---|---|")
    for title, model, inputs in models(dtype):
        model = model.to(dtype).eval()
        compiled = torch.compile(model, dynamic=False)
        with torch.inference_mode():
            model(**inputs)
            first = seconds(compiled, inputs)
            spent = [(seconds(model, inputs), seconds(compiled, inputs)) for _ in range(TIMES)]
        eager, quick = (1000 * statistics.median(one) for one in zip(*spent, strict=True))
        print(f"| {title} | {eager:.1f} | {quick:.1f} | x {eager / quick:.2f} | {first:.0f} |", flush=True)


def seconds(model: Callable[..., Any], inputs: dict[str, Any]) -> float:
    """Return how long one call takes."""
    with timed() as stretch:
        model(**inputs)
    return stretch.seconds


if __name__ == "__main__":
    main()
