import numpy as np
import pytest

from hfmm.tasks.listener import windows

RATE = 16_000


def bursts(*seconds: float) -> np.ndarray:
    """Noise of so many seconds each, with 0.2 s of quiet between."""
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(round(RATE * one)) for one in seconds]
    return np.concatenate([part for one in parts for part in (one, np.zeros(RATE // 5))]).astype(np.float32)


def test_a_clip_that_fits_the_window_stays_whole() -> None:
    (piece,) = windows(bursts(1.0), 2 * RATE)
    assert len(piece) == len(bursts(1.0))


def test_a_longer_clip_is_cut_in_its_pauses_and_nothing_is_lost() -> None:
    clip = bursts(1.7, 1.6, 0.5)
    pieces = list(windows(clip, 2 * RATE))
    assert (np.concatenate(pieces) == clip).all()
    assert max(map(len, pieces)) <= 2 * RATE
    assert len(pieces[0]) / RATE == pytest.approx(1.8, abs=0.1)
    assert (len(pieces[0]) + len(pieces[1])) / RATE == pytest.approx(3.6, abs=0.1)
