from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    LlavaNextImageProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    ViTConfig,
    ViTImageProcessor,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from hfmm.errors import UserError
from hfmm.inspection import token_count

TEXT = "a cat sits on a mat"


def save(path: Path, *objects: object) -> str:
    for item in objects:
        item.save_pretrained(path)  # type: ignore[attr-defined]
    return str(path)


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[str]:
    """A ViT with 224 pixels and patches of 16, a Whisper, and a text model with one BPE token per word."""
    pieces = ["<s>", "</s>", *"acinmost", "at", "ca", "cat", "mat", "ma", "on", "si", "sit", "sits"]
    merges = [("c", "a"), ("ca", "t"), ("m", "a"), ("ma", "t"), ("o", "n"), ("s", "i"), ("si", "t"), ("sit", "s")]
    words = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=merges))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>")
    return [
        save(tmp_path / "vit", ViTConfig(), ViTImageProcessor()),
        save(tmp_path / "whisper", WhisperConfig(), WhisperFeatureExtractor()),
        save(tmp_path / "text", BertConfig(), tokenizer),
    ]


def test_counts_match_the_known_values(checkpoints: list[str]) -> None:
    counts = {count.modality: count for count in token_count.count_tokens(checkpoints, TEXT, 5)}
    assert counts["icon"].tokens == counts["page"].tokens == 196
    assert counts["speech"].tokens == 250
    assert "500 mel frames" in counts["speech"].how
    assert counts["text"].tokens == 8
    assert "6 subwords and 2 special tokens" in counts["text"].how


def test_speech_tokens_of_raw_audio_follow_from_the_convolutions(tmp_path: Path) -> None:
    folder = save(tmp_path / "wav2vec2", Wav2Vec2Config(), Wav2Vec2FeatureExtractor())
    (count,) = token_count.count_tokens([folder], TEXT, 5)
    assert count.tokens == 249  # 80,000 samples, one token every 20 ms


def test_dual_encoder_has_image_and_text_tokens() -> None:
    counts = {count.modality: count.tokens for count in token_count.count_tokens(["builtin:tiny-clip"], TEXT, 5)}
    assert counts == {"icon": 64, "page": 64, "text": len(TEXT) + 1}  # one token per letter, and an end token


def test_image_tokens_count_all_tiles() -> None:
    processor = LlavaNextImageProcessor(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=[[64, 64]]
    )
    count = token_count.image_tokens(processor, ViTConfig(patch_size=16), Image.new("RGB", (64, 64)))
    assert count == (5 * 4, "5 tiles of 32 x 32 pixels in patches of 16 x 16")  # the whole image and its quarters


def test_unknown_patch_layout_is_rejected(tmp_path: Path) -> None:
    folder = save(tmp_path / "qwen", ViTConfig(patch_size=14), Qwen2VLImageProcessor())
    with pytest.raises(UserError, match=r"A Qwen2VLImageProcessor.* cuts images into patches .* cannot be counted"):
        token_count.count_tokens([folder], TEXT, 5)


def test_checkpoint_without_processors_is_rejected(tmp_path: Path) -> None:
    folder = save(tmp_path / "bare", WhisperConfig())
    with pytest.raises(UserError, match="there is nothing to count"):
        token_count.count_tokens([folder], TEXT, 5)


def test_command_prints_a_table_and_plots_bars(
    hfmm: Callable[..., object], checkpoints: list[str], tmp_path: Path
) -> None:
    completed = hfmm("inspect", "tokens", *checkpoints, "--out", str(tmp_path / "bars.png"))
    assert "196" in completed.stdout  # type: ignore[attr-defined]
    assert (tmp_path / "bars.png").stat().st_size > 5000
