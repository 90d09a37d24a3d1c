"""The shared parts of the speech cases: checkpoints, clips, and the transcription on all sides."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hfmm.models.common.checkpoint import load_saved
from tests.benchmarks.case import Job, Measured, Side

WINDOW = 5  # seconds
TOKENS = 10  # per clip with random weights, which never generate an end token
TUNING_CLIPS = 400  # only with --checkpoint: after a change of its window a model has to be trained
WHISPER_TINY = {
    "d_model": 384, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 6,
    "decoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536, "vocab_size": 51864,
}  # fmt: skip
WHISPER_SMALLER = {
    "d_model": 192, "encoder_layers": 4, "decoder_layers": 2, "encoder_attention_heads": 3,
    "decoder_attention_heads": 3, "encoder_ffn_dim": 768, "decoder_ffn_dim": 768, "vocab_size": 51864,
}  # fmt: skip
PREDICT = "hfmm predict"
OTHER_WINDOW = "another window"  # why outputs are not comparable
FASTER_WHISPER = ("faster_whisper", "ctranslate2")  # modules
Transcribe = Callable[[Sequence[np.ndarray]], list[str]]


def write_checkpoint(job: Job, folder: Path) -> None:
    """Write a Whisper of 30 s in the shape of the size with random weights, or a copy of --checkpoint."""
    import shutil

    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        set_seed,
    )

    if job.checkpoint:
        shutil.copytree(job.checkpoint, folder)
        return
    set_seed(0)
    tokenizer = _byte_tokenizer()
    end, start, no_timestamps = map(tokenizer.convert_tokens_to_ids, (END, START, NO_TIMESTAMPS))
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    no_suppression: dict[str, list[int]] = {"suppress_tokens": [], "begin_suppress_tokens": []}
    model = WhisperForConditionalGeneration(WhisperConfig(**job.options["shape"], **special, **no_suppression))
    model.generation_config = GenerationConfig(
        **special, **no_suppression, is_multilingual=False, no_timestamps_token_id=no_timestamps,
        return_timestamps=False, max_new_tokens=TOKENS, min_new_tokens=TOKENS,
    )  # fmt: skip
    # Otherwise the model generates tokens without a byte, and all texts are empty and equal.
    model.proj_out.weight.data[NUM_BYTES:] = 0
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)


NUM_BYTES = 256
END, START, NO_TIMESTAMPS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"


def _byte_tokenizer() -> Any:
    """Return the tokenizer of an English Whisper without merges, which hfmm does not include. A token is a byte."""
    from tokenizers import pre_tokenizers
    from transformers import WhisperTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = WhisperTokenizer(
        vocab={letter: index for index, letter in enumerate(letters)}, merges=[], pad_token=END
    )
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": [START, *tasks, NO_TIMESTAMPS]})
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(1501)])
    tokenizer.set_prefix_tokens()
    return tokenizer


def write_clips(num_clips: int, split: str, folder: Path, cache: Path) -> None:
    """Write the first clips of a split of `spoken_verbs`: samples at 16 kHz, and texts."""
    from hfmm import data as builders
    from hfmm.data.common.audio import decode
    from hfmm.recipe.schema import Data

    rows = builders.build(Data(builder="spoken_verbs"), {}, cache)[split].select(range(num_clips))
    np.savez(folder / "clips.npz", *[decode(audio) for audio in rows["audio"][:]])
    (folder / "texts.json").write_text(json.dumps(rows["text"][:]))


def load_clips(folder: Path) -> tuple[list[np.ndarray], list[str]]:
    """Return the clips and the texts that `write_clips` saved."""
    with np.load(folder / "clips.npz") as arrays:
        return [arrays[name] for name in arrays.files], json.loads((folder / "texts.json").read_text())


def prepare(job: Job) -> None:
    """Write the clips, the checkpoint, hfmm's model with its window, and the models of faster-whisper."""
    import importlib.util
    import shutil

    from tests.benchmarks import training

    write_clips(job.options["clips"], "test", job.prepared, job.prepared / "cache")
    checkpoint = job.prepared / "checkpoint"
    write_checkpoint(job, checkpoint)
    if job.checkpoint:
        _, run, _ = training.run_recipe(
            job, tuning_recipe(str(checkpoint), {"builder": "spoken_verbs"}, TUNING_CLIPS / 2000)
        )
        shutil.copytree(run.model, job.prepared / "ours")
    else:
        from hfmm.recipe.schema import Recipe
        from tests.loading import load_model

        recipe = Recipe.model_validate(tuning_recipe(str(checkpoint), {"builder": "spoken_verbs"}, 1))
        model, processor = load_model(recipe, None, "AutoModelForSpeechSeq2Seq")  # type: ignore[arg-type]
        model.save_pretrained(job.prepared / "ours")
        processor.save_pretrained(job.prepared / "ours")
    if importlib.util.find_spec("faster_whisper"):
        from ctranslate2.converters import TransformersConverter

        files = [name for name in ("tokenizer.json", "preprocessor_config.json") if (checkpoint / name).is_file()]
        for dtype in ("int8", "float32"):
            converter = TransformersConverter(str(checkpoint), copy_files=files)
            converter.convert(str(job.prepared / dtype), quantization=dtype)


def tuning_recipe(checkpoint: str, data: dict[str, Any], num_train_epochs: float) -> dict[str, Any]:
    """Return the recipe that fine-tunes a checkpoint on the short window."""
    return {
        "name": "speed",
        "task": "speech_recognition",
        "data": data,
        "model": {"checkpoint": checkpoint, "window_seconds": WINDOW},
        "stages": [
            {
                "name": "full",
                "trainable": "all",
                "num_train_epochs": num_train_epochs,
                "learning_rate": 1e-5,
                "per_device_train_batch_size": 8,
            }
        ],
        "metrics": ["wer"],
    }


def predict(job: Job) -> Transcribe:
    """Transcribe as `hfmm predict` does."""
    from hfmm.models.common.seq2seq_transcriber import Seq2SeqTranscriber
    from hfmm.tasks import BATCH_SIZE
    from hfmm.utils.hardware import inference_dtype

    model, processor = load_saved(str(job.prepared / "ours"), inference_dtype("auto"))
    transcriber = Seq2SeqTranscriber(model.config, processor)
    model.eval()
    return lambda clips: list(transcriber.transcribe(model, clips, BATCH_SIZE))


def pipeline(job: Job, model: str, batch_size: int = 1, dtype: str = "float32", **settings: Any) -> Transcribe:
    """Transcribe with plain `transformers.pipeline`."""
    import transformers

    pipe = transformers.pipeline("automatic-speech-recognition", model=str(job.prepared / model), dtype=dtype)

    def transcribe(clips: Sequence[np.ndarray]) -> list[str]:
        inputs = [{"raw": clip, "sampling_rate": 16000} for clip in clips]
        return [output["text"].strip() for output in pipe(inputs, batch_size=batch_size, **settings)]

    return transcribe


def faster_whisper(job: Job, dtype: str, beam_size: int) -> Transcribe:
    """Transcribe with faster-whisper, clip by clip, with a window of 30 s."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(job.prepared / dtype), device="cpu", compute_type=dtype)
    # With random weights it would repeat each clip at higher temperatures, and cut it at meaningless timestamps.
    single_pass = {"max_new_tokens": TOKENS, "temperature": 0.0, "without_timestamps": True}
    settings = {} if job.checkpoint else single_pass

    def transcribe_clip(clip: np.ndarray) -> str:
        segments, _ = model.transcribe(clip, beam_size=beam_size, language="en", **settings)
        return "".join(segment.text for segment in segments).strip()

    return lambda clips: [transcribe_clip(clip) for clip in clips]


def word_error_rate(texts: list[str], references: list[str], job: Job) -> dict[str, float]:
    """Return the word error rate, or nothing without --checkpoint, because random weights have no useful one."""
    if not job.checkpoint:
        return {}
    from hfmm.metrics import wer

    edits, words = wer.row_statistics(texts, [{"text": text} for text in references])[""]
    return {"word error rate, %": 100 * float(edits.sum() / words.sum())}


def faster_whisper_sides(measure: Callable[..., Measured], target: float | None = None) -> tuple[Side, ...]:
    """Return faster-whisper with default and greedy decoding, in int8 and fp32. ``target`` is for int8, greedy."""
    variants = (
        ("int8", "int8", 5, None),
        ("int8, greedy by hand", "int8", 1, target),
        ("fp32, greedy by hand", "float32", 1, None),
    )
    return tuple(
        Side(
            f"faster-whisper {name}",
            partial(measure, make_transcribe=faster_whisper, dtype=dtype, beam_size=beam_size),
            against=PREDICT,
            needs=FASTER_WHISPER,
            target=side_target,
            not_comparable=OTHER_WINDOW,
        )
        for name, dtype, beam_size, side_target in variants
    )
