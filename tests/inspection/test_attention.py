from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import GenerationConfig, WhisperConfig

from hfmm.data.common.audio import SAMPLE_RATE, encode
from hfmm.errors import UserError
from hfmm.inspection import attention


@pytest.fixture
def speaker(tiny_whisper: Path, tmp_path: Path) -> Path:
    """The tiny Whisper, made to write letters and nothing else."""
    shutil.copytree(tiny_whisper, tmp_path / "speaker")
    settings = GenerationConfig.from_pretrained(tiny_whisper)
    letters = settings.eos_token_id
    settings.suppress_tokens = list(range(letters, WhisperConfig.from_pretrained(tiny_whisper).vocab_size))
    settings.save_pretrained(tmp_path / "speaker")
    return tmp_path / "speaker"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.flac"
    path.write_bytes(
        encode(0.1 * np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32))["bytes"]
    )
    return path


def test_what_is_heard_is_what_the_model_generates(speaker: Path, clip: Path) -> None:
    heard = attention.transcribe_with_attention(str(speaker), clip)
    assert heard.text == "".join(one.text for one in heard.tokens).strip()
    assert heard.attention.shape == (len(heard.tokens), 100)
    assert heard.features.shape == (80, 200)
    assert all(0 < one.probability <= 1 and 0 <= one.start <= one.end <= 2 for one in heard.tokens)
    # Greedy decoding writes the likeliest token, which then is no less likely than an even guess.
    assert all(one.probability >= 1 / 300 for one in heard.tokens)


def test_words_begin_with_a_space_and_multiply_their_probabilities() -> None:
    tokens = [
        attention.Token(text, 0, 0.0, 0.5, start, start + 1) for start, text in enumerate((" He", " wor", "ks", "."))
    ]
    assert attention._words(tokens) == [("He", 0.5, 0, 1), ("works.", 0.125, 1, 4)]


def test_the_command_prints_tokens_and_draws_where_it_looked(
    hfmm: Callable[..., Any], speaker: Path, clip: Path, tmp_path: Path
) -> None:
    done = hfmm("inspect", "attention", clip, "--model", speaker)
    assert done.returncode == 0, done.stderr
    assert "probability" in done.stdout and "segments" in done.stdout
    assert Image.open(tmp_path / "attention.png").size[0] > 400
    found = json.loads(hfmm("inspect", "attention", clip, "--model", speaker, "--json").stdout)
    assert {"text", "segments", "tokens", "words"} == found.keys()


def test_what_cannot_be_heard_is_told(tiny_whisper: Path, tiny_vit: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'vit' model"):
        attention.transcribe_with_attention(str(tiny_vit), clip)
    (tmp_path / "long.flac").write_bytes(encode(np.tile([0.1, -0.1], 3 * SAMPLE_RATE).astype(np.float32))["bytes"])
    with pytest.raises(UserError, match=r"long\.flac lasts 6\.0 s; .* hears 4 s at a time"):
        attention.transcribe_with_attention(str(tiny_whisper), tmp_path / "long.flac")
