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
def letters_only_whisper(tiny_whisper: Path, tmp_path: Path) -> Path:
    """The tiny Whisper with all special tokens suppressed, so that it generates letters only."""
    folder = tmp_path / "letters-only"
    shutil.copytree(tiny_whisper, folder)
    config = GenerationConfig.from_pretrained(tiny_whisper)
    vocab_size = WhisperConfig.from_pretrained(tiny_whisper).vocab_size
    config.suppress_tokens = list(range(config.eos_token_id, vocab_size))
    config.save_pretrained(folder)
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.flac"
    path.write_bytes(
        encode(0.1 * np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32))["bytes"]
    )
    return path


def test_transcription_is_what_the_model_generates(letters_only_whisper: Path, clip: Path) -> None:
    details = attention.transcribe_with_attention(str(letters_only_whisper), clip)
    assert details.text == "".join(token.text for token in details.tokens).strip()
    assert details.attention.shape == (len(details.tokens), 100)
    assert details.features.shape == (80, 200)
    assert all(0 < token.probability <= 1 and 0 <= token.start <= token.end <= 2 for token in details.tokens)
    # Greedy decoding takes the most likely token, whose probability is at least that of a uniform distribution.
    assert all(token.probability >= 1 / 300 for token in details.tokens)


def test_words_start_with_a_space_and_multiply_probabilities() -> None:
    tokens = [
        attention.Token(text, 0, 0.0, 0.5, start, start + 1) for start, text in enumerate((" He", " wor", "ks", "."))
    ]
    assert attention._words(tokens) == [("He", 0.5, 0, 1), ("works.", 0.125, 1, 4)]


def test_command_prints_tokens_and_plots_the_attention(
    hfmm: Callable[..., Any], letters_only_whisper: Path, clip: Path, tmp_path: Path
) -> None:
    command = ["inspect", "attention", clip, "--model", letters_only_whisper]
    completed = hfmm(*command)
    assert completed.returncode == 0, completed.stderr
    assert "probability" in completed.stdout and "segments" in completed.stdout
    assert Image.open(tmp_path / "attention.png").size[0] > 400
    output = json.loads(hfmm(*command, "--json").stdout)
    assert {"text", "segments", "tokens", "words"} == output.keys()


def test_unusable_model_or_clip_is_reported(tiny_whisper: Path, tiny_vit: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'vit' model"):
        attention.transcribe_with_attention(str(tiny_vit), clip)
    (tmp_path / "long.flac").write_bytes(encode(np.tile([0.1, -0.1], 3 * SAMPLE_RATE).astype(np.float32))["bytes"])
    with pytest.raises(UserError, match=r"long\.flac has 6\.0 s, but .* accepts at most 4 s"):
        attention.transcribe_with_attention(str(tiny_whisper), tmp_path / "long.flac")
