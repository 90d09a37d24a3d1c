"""Tiny checkpoints and recipes made on the spot, and the command line; nothing here needs a network or a download."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # more threads only get in the way of models this small, and of other workers
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Begin a test, and each of its fixtures, with the random weights of a new process, whatever ran before in this."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(67_280_421_310_721)  # torch's own at its import


pytest_fixture_setup = pytest_runtest_call


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of 16-pixel patches on 32-pixel pictures, random weights, without a head."""
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("tiny-vit")
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=16
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    _image_processor(folder, "ViTImageProcessor")
    return folder


@pytest.fixture(scope="session")
def tiny_dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 of the same size; its mask token never gets a gradient."""
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("tiny-dinov2")
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=32, patch_size=16
    )
    Dinov2Model(config).save_pretrained(folder)
    _image_processor(folder, "ViTImageProcessor")
    return folder


LETTERS = "abcdefghijklmnopqrstuvwxyzI0123456789/,' ()"


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of the same size that reads texts letter by letter, at most 63 of them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoImageProcessor, CLIPConfig, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-clip")
    known = {name: index for index, name in enumerate(("<pad>", "<eos>", "<unk>", *LETTERS))}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", model_max_length=64
    )
    layers = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    special = {"eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None}
    text = layers | special | {"vocab_size": len(known), "max_position_embeddings": 64}
    vision = layers | {"image_size": 32, "patch_size": 16}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    _image_processor(folder, "ViTImageProcessor")
    CLIPProcessor(AutoImageProcessor.from_pretrained(folder), fast).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Path:
    """A text encoder of the same size, with the same letters."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny-bert")
    tokenizer = AutoTokenizer.from_pretrained(tiny_clip)
    tokenizer.save_pretrained(folder)
    layers = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **layers)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of the same size that hears 4 s, writes letter by letter and knows English only."""
    return _whisper(tmp_path_factory.mktemp("tiny-whisper"), [])


@pytest.fixture(scope="session")
def tiny_multilingual_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for three languages."""
    return _whisper(tmp_path_factory.mktemp("tiny-multilingual-whisper"), ["<|en|>", "<|zh|>", "<|de|>"])


def _whisper(folder: Path, languages: list[str]) -> Path:
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    letters = (*"abcdefghijklmnopqrstuvwxyz", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *".,'?", "Ġ")
    vocabulary = {letter: index for index, letter in enumerate(letters)}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[], pad_token="<|endoftext|>")
    tasks = ["<|translate|>", "<|transcribe|>"]
    added = ["<|startoftranscript|>", *languages, *tasks, "<|notimestamps|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": added})
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(201)])
    tokenizer.set_prefix_tokens()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in ["<|endoftext|>", *added]}
    end = ids["<|endoftext|>"]
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    special["decoder_start_token_id"] = ids["<|startoftranscript|>"]
    sizes = {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    sizes |= {f"{part}_{what}": 2 for part in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    config = WhisperConfig(
        **sizes, **special, vocab_size=len(tokenizer), max_source_positions=200, max_target_positions=64
    )
    model = WhisperForConditionalGeneration(config)
    spoken = {"lang_to_id": {name: ids[name] for name in languages}} if languages else {}
    spoken |= {"task_to_id": {name.strip("<|>"): ids[name] for name in tasks}} if languages else {}
    model.generation_config = GenerationConfig(
        **special, **spoken, is_multilingual=bool(languages), no_timestamps_token_id=ids["<|notimestamps|>"],
        return_timestamps=False, max_length=64,
    )  # fmt: skip
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(chunk_length=4), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of the same size that writes byte by byte; it has no chat template, and pads with its end token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llama")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE({name: index for index, name in enumerate(letters)}, []))
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="</s>")
    fast.save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = LlamaConfig(
        **sizes, vocab_size=len(fast), max_position_embeddings=256, bos_token_id=None, eos_token_id=fast.eos_token_id
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _image_processor(folder: Path, kind: str) -> None:
    (folder / "preprocessor_config.json").write_text(
        f'{{"image_processor_type": "{kind}", "do_resize": true, "size": {{"height": 32, "width": 32}}, '
        '"do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true, '
        '"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}'
    )


RECIPE = """
name: tiny
task: image_classification
data: {{builder: icons, train: 24, validation: 8, test: 40, size: 32}}
model: {{checkpoint: {checkpoint}}}
stages:
  - {{name: head, trainable: [classifier], num_train_epochs: 1, learning_rate: 1.0e-2, per_device_train_batch_size: 8}}
  - {{name: full, trainable: {train}, num_train_epochs: 2, learning_rate: 1.0e-3, per_device_train_batch_size: 8}}
metrics: [accuracy, confusion]
baselines: [colour_histogram]
"""


@pytest.fixture
def write_recipe(tmp_path: Path, tiny_vit: Path) -> Callable[..., Path]:
    """Write a recipe of two short stages; `checkpoint` and the second stage's `train` can be chosen."""

    def write(checkpoint: Path | str = tiny_vit, train: str = "all", name: str = "tiny.yaml") -> Path:
        path = tmp_path / name
        path.write_text(RECIPE.format(checkpoint=checkpoint, train=train))
        return path

    return write


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, tiny_vit: Path) -> Path:
    """A whole run of the tiny recipe, LoRA in its second stage, made once; tests must not change it."""
    from hfmm.recipe.load import load_recipe
    from hfmm.run import run_recipe

    folder = tmp_path_factory.mktemp("finished")
    path = folder / "tiny.yaml"
    path.write_text(RECIPE.format(checkpoint=tiny_vit, train="lora"))
    run_recipe(load_recipe(str(path)), folder / "run", resume=False, report=lambda step, text: None)
    return folder / "run"


@pytest.fixture
def process(tmp_path: Path) -> Call:
    """Run the command line in a process of its own, as a user does, in an empty folder."""
    command = [sys.executable, "-m", "hfmm.cli"]
    options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True}
    return lambda *arguments: subprocess.run([*command, *map(str, arguments)], **options)


@pytest.fixture
def hfmm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process, which has its seconds of imports behind it, in an empty folder."""
    from hfmm.cli.main import main

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["hfmm", *map(str, arguments)]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", command)
        handler = signal.getsignal(signal.SIGINT)
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGINT, handler)
        status = ended.value.code or 0
        assert isinstance(status, int)
        return subprocess.CompletedProcess(command, status, *capfd.readouterr())

    return call


@pytest.fixture
def fails(hfmm: Call) -> Callable[..., str]:
    """Run the command line, expect a paragraph and status 2, and return the paragraph."""
    return lambda *arguments: paragraph(hfmm(*arguments))


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def paragraph(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that could not be carried out says: one paragraph, with status 2, without a traceback."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("hfmm: ")
    return done.stderr
