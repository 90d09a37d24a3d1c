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


def a_folder(path: Path, *parts: object) -> str:
    for part in parts:
        part.save_pretrained(path)  # type: ignore[attr-defined]
    return str(path)


@pytest.fixture
def textbook(tmp_path: Path) -> list[str]:
    """A ViT of 224 pixels in patches of 16, a Whisper, and a text model whose BPE has every word whole."""
    pieces = ["<s>", "</s>", *"acinmost", "at", "ca", "cat", "mat", "ma", "on", "si", "sit", "sits"]
    merges = [("c", "a"), ("ca", "t"), ("m", "a"), ("ma", "t"), ("o", "n"), ("s", "i"), ("si", "t"), ("sit", "s")]
    words = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=merges))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>")
    return [
        a_folder(tmp_path / "vit", ViTConfig(), ViTImageProcessor()),
        a_folder(tmp_path / "whisper", WhisperConfig(), WhisperFeatureExtractor()),
        a_folder(tmp_path / "text", BertConfig(), tokenizer),
    ]


def test_the_textbook_figures(textbook: list[str]) -> None:
    found = {one.modality: one for one in token_count.count_tokens(textbook, TEXT, 5)}
    assert found["icon"].tokens == found["page"].tokens == 196
    assert found["speech"].tokens == 250
    assert "500 mel frames" in found["speech"].how
    assert found["text"].tokens == 8
    assert "6 subwords and 2 special tokens" in found["text"].how


def test_speech_without_a_spectrogram_is_counted_by_its_convolutions(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "wav2vec2", Wav2Vec2Config(), Wav2Vec2FeatureExtractor())
    (one,) = token_count.count_tokens([folder], TEXT, 5)
    assert one.tokens == 249  # 80,000 samples, a vector every 20 ms


def test_an_embedded_dual_encoder_costs_pictures_and_text() -> None:
    found = {one.modality: one.tokens for one in token_count.count_tokens(["builtin:tiny-clip"], TEXT, 5)}
    assert found == {"icon": 64, "page": 64, "text": len(TEXT) + 1}  # a token is a letter, and one ends


def test_a_picture_cut_into_tiles_costs_the_patches_of_all() -> None:
    processor = LlavaNextImageProcessor(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=[[64, 64]]
    )
    found = token_count.image_tokens(processor, ViTConfig(patch_size=16), Image.new("RGB", (64, 64)))
    assert found == (5 * 4, "5 tiles of 32 x 32 pixels in patches of 16 x 16")  # the whole, and its quarters


def test_patches_that_a_processor_cuts_in_its_own_way_are_not_counted(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "qwen", ViTConfig(patch_size=14), Qwen2VLImageProcessor())
    with pytest.raises(UserError, match=r"A Qwen2VLImageProcessor.* makes patches of a picture, .* cannot be counted"):
        token_count.count_tokens([folder], TEXT, 5)


def test_a_checkpoint_with_nothing_to_count_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "bare", WhisperConfig())
    with pytest.raises(UserError, match="there is nothing to count"):
        token_count.count_tokens([folder], TEXT, 5)


def test_the_command_prints_a_table_and_draws_the_bars(
    hfmm: Callable[..., object], textbook: list[str], tmp_path: Path
) -> None:
    done = hfmm("inspect", "tokens", *textbook, "--out", str(tmp_path / "bars.png"))
    assert "196" in done.stdout  # type: ignore[attr-defined]
    assert (tmp_path / "bars.png").stat().st_size > 5000
