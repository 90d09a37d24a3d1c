from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hfmm.tasks.common import transcriber
from hfmm.tasks.common.transcriber import Transcriber, split_at_pauses

RATE = 16_000


def bursts(*seconds: float) -> np.ndarray:
    """Noise of so many seconds each, with 0.2 s of quiet between."""
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(round(RATE * one)) for one in seconds]
    return np.concatenate([part for one in parts for part in (one, np.zeros(RATE // 5))]).astype(np.float32)


def test_a_clip_that_fits_the_window_stays_whole() -> None:
    (piece,) = split_at_pauses(bursts(1.0), 2 * RATE)
    assert len(piece) == len(bursts(1.0))


def test_a_longer_clip_is_cut_in_its_pauses_and_nothing_is_lost() -> None:
    clip = bursts(1.7, 1.6, 0.5)
    pieces = list(split_at_pauses(clip, 2 * RATE))
    assert (np.concatenate(pieces) == clip).all()
    assert max(map(len, pieces)) <= 2 * RATE
    assert len(pieces[0]) / RATE == pytest.approx(1.8, abs=0.1)
    assert (len(pieces[0]) + len(pieces[1])) / RATE == pytest.approx(3.6, abs=0.1)


class Counter:
    """A feature extractor whose one feature of a clip is how many samples it has."""

    n_samples = 2 * RATE

    def __call__(self, clips: list[np.ndarray], **_: Any) -> dict[str, np.ndarray]:
        return {"input_features": np.array([[len(clip)] for clip in clips], np.float32)}


def counting(batches: list[int]) -> tuple[Transcriber, Any]:
    """A listener and a model that write down how long a clip is; ``batches`` notes the longest of each batch."""

    def generate(input_features: torch.Tensor) -> torch.Tensor:
        batches.append(int(input_features.max()))
        return input_features

    def batch_decode(ids: torch.Tensor, **_: Any) -> list[str]:
        return [f" {int(one)}" for one in ids[:, 0]]

    processor = SimpleNamespace(feature_extractor=Counter(), tokenizer=SimpleNamespace(batch_decode=batch_decode))
    return Transcriber(processor), SimpleNamespace(generate=generate, device=torch.device("cpu"), dtype=torch.float32)


def test_clips_of_like_length_are_heard_together_and_each_text_belongs_to_its_clip() -> None:
    batches: list[int] = []
    hears, model = counting(batches)
    clips = [np.ones(length, np.float32) for length in (400, 100, 300, 200, 500)]
    assert list(hears.transcribe(model, clips, 2)) == ["400", "100", "300", "200", "500"]
    assert batches == [200, 400, 500]


def test_the_features_of_many_clips_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    hears, _ = counting([])
    clips = [np.ones(length, np.float32) for length in range(1, 8)]
    at_once = hears.features(clips)
    monkeypatch.setattr(transcriber, "FEATURE_BATCH_SIZE", 3)
    assert (hears.features(clips) == at_once).all()
    assert at_once[:, 0].tolist() == list(range(1, 8))
