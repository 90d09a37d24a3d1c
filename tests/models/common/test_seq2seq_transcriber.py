from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hfmm.models.common import seq2seq_transcriber
from hfmm.models.common.seq2seq_transcriber import Seq2SeqTranscriber
from hfmm.models.common.transcriber import Transcriber, split_at_pauses

RATE = 16_000


def bursts(*seconds: float) -> np.ndarray:
    """Return noise of the given durations, with 0.2 s of silence after each."""
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(round(RATE * duration)) for duration in seconds]
    return np.concatenate([array for part in parts for array in (part, np.zeros(RATE // 5))]).astype(np.float32)


def test_clip_that_fits_the_window_is_not_split() -> None:
    (piece,) = split_at_pauses(bursts(1.0), 2 * RATE)
    assert len(piece) == len(bursts(1.0))


def test_longer_clip_is_split_at_pauses_without_loss() -> None:
    clip = bursts(1.7, 1.6, 0.5)
    pieces = list(split_at_pauses(clip, 2 * RATE))
    assert (np.concatenate(pieces) == clip).all()
    assert max(map(len, pieces)) <= 2 * RATE
    assert len(pieces[0]) / RATE == pytest.approx(1.8, abs=0.1)
    assert (len(pieces[0]) + len(pieces[1])) / RATE == pytest.approx(3.6, abs=0.1)


class LengthExtractor:
    """A feature extractor that returns the number of samples of each clip as its only feature."""

    n_samples, chunk_length = 2 * RATE, 2

    def __call__(self, clips: list[np.ndarray], **_: Any) -> dict[str, np.ndarray]:
        return {"input_features": np.array([[len(clip)] for clip in clips], np.float32)}


def length_transcriber(batches: list[int]) -> tuple[Transcriber, Any]:
    """Return a transcriber and a model that transcribe a clip as its length. ``batches`` gets each batch maximum."""

    def generate(input_features: torch.Tensor) -> torch.Tensor:
        batches.append(int(input_features.max()))
        return input_features

    def batch_decode(ids: torch.Tensor, **_: Any) -> list[str]:
        return [f" {int(length)}" for length in ids[:, 0]]

    processor = SimpleNamespace(
        feature_extractor=LengthExtractor(), tokenizer=SimpleNamespace(batch_decode=batch_decode)
    )
    model = SimpleNamespace(generate=generate, device=torch.device("cpu"), dtype=torch.float32)
    return Seq2SeqTranscriber(SimpleNamespace(max_target_positions=9), processor), model


def test_clips_of_similar_length_share_a_batch() -> None:
    batches: list[int] = []
    length_counter, model = length_transcriber(batches)
    clips = [np.ones(length, np.float32) for length in (400, 100, 300, 200, 500)]
    assert list(length_counter.transcribe(model, clips, 2)) == ["400", "100", "300", "200", "500"]
    assert batches == [200, 400, 500]


def test_features_are_independent_of_the_feature_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    length_counter, _ = length_transcriber([])
    clips = [np.ones(length, np.float32) for length in range(1, 8)]
    expected = length_counter.inputs(clips)["input_features"]
    monkeypatch.setattr(seq2seq_transcriber, "FEATURE_BATCH_SIZE", 3)
    assert (length_counter.inputs(clips)["input_features"] == expected).all()
    assert expected[:, 0].tolist() == list(range(1, 8))
