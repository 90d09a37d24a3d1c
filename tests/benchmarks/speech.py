"""What the speech cases share: checkpoints of a shape, clips, and every way of hearing them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hfmm.models.common.checkpoint import load_saved
from tests.benchmarks.case import Job, Measured, Side
from tests.loading import load_model

WINDOW = 5  # seconds
TOKENS = 10  # that random weights write for a clip, since they never come to an end by themselves
TUNED_ON = 400  # clips, where a checkpoint is given: one cut to a new window has to be trained on it
WHISPER_TINY = {
    "d_model": 384, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 6,
    "decoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536, "vocab_size": 51864,
}  # fmt: skip
HALF = {
    "d_model": 192, "encoder_layers": 4, "decoder_layers": 2, "encoder_attention_heads": 3,
    "decoder_attention_heads": 3, "encoder_ffn_dim": 768, "decoder_ffn_dim": 768, "vocab_size": 51864,
}  # fmt: skip
PREDICT = "hfmm predict"
OTHER, FASTER = "another window", ("faster_whisper", "ctranslate2")  # why outputs differ; what a peer needs
Hear = Callable[[Sequence[np.ndarray]], list[str]]


def write_checkpoint(job: Job, folder: Path) -> None:
    """Write a Whisper of 30 s in the size's shape with random weights, or a copy of the one given by hand."""
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
    end, start, untimed = map(tokenizer.convert_tokens_to_ids, (END, START, UNTIMED))
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    silent: dict[str, list[int]] = {"suppress_tokens": [], "begin_suppress_tokens": []}
    model = WhisperForConditionalGeneration(WhisperConfig(**job.options["shape"], **special, **silent))
    model.generation_config = GenerationConfig(
        **special, **silent, is_multilingual=False, no_timestamps_token_id=untimed, return_timestamps=False,
        max_new_tokens=TOKENS, min_new_tokens=TOKENS,
    )  # fmt: skip
    # Else it writes tokens that no byte stands for, and all texts are empty and alike.
    model.proj_out.weight.data[BYTES:] = 0
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)


BYTES = 256
END, START, UNTIMED = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"


def _byte_tokenizer() -> Any:
    """Return an English Whisper's tokenizer without its merges, which do not travel with hfmm: a token is a byte."""
    from tokenizers import pre_tokenizers
    from transformers import WhisperTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = WhisperTokenizer(vocab={one: index for index, one in enumerate(letters)}, merges=[], pad_token=END)
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": [START, *tasks, UNTIMED]})
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(1501)])
    tokenizer.set_prefix_tokens()
    return tokenizer


def write_clips(count: int, split: str, folder: Path, cache: Path) -> None:
    """Write the first clips of a split of hfmm's own: 16 kHz samples, and texts."""
    from hfmm import data as builders
    from hfmm.data.common.audio import decode
    from hfmm.recipe.schema import Data

    rows = builders.build(Data(builder="clips"), {}, cache)[split].select(range(count))
    np.savez(folder / "clips.npz", *[decode(value) for value in rows["audio"][:]])
    (folder / "texts.json").write_text(json.dumps(rows["text"][:]))


def clips(folder: Path) -> tuple[list[np.ndarray], list[str]]:
    """Return what `write_clips` wrote."""
    with np.load(folder / "clips.npz") as stored:
        return [stored[name] for name in stored.files], json.loads((folder / "texts.json").read_text())


def prepare(job: Job) -> None:
    """Write clips, the checkpoint, what hfmm makes of it for its window, and what faster-whisper reads."""
    import importlib.util
    import shutil

    from tests.benchmarks import training

    write_clips(job.options["clips"], "test", job.prepared, job.prepared / "cache")
    checkpoint = job.prepared / "checkpoint"
    write_checkpoint(job, checkpoint)
    if job.checkpoint:
        _, run, _ = training.run_recipe(job, tuned(str(checkpoint), {"builder": "clips"}, TUNED_ON / 2000))
        shutil.copytree(run.model, job.prepared / "ours")
    else:
        from hfmm.recipe.schema import Recipe

        made = Recipe.model_validate(tuned(str(checkpoint), {"builder": "clips"}, 1))
        model, processor = load_model(made, None, "AutoModelForSpeechSeq2Seq")  # type: ignore[arg-type]
        model.save_pretrained(job.prepared / "ours")
        processor.save_pretrained(job.prepared / "ours")
    if importlib.util.find_spec("faster_whisper"):
        from ctranslate2.converters import TransformersConverter

        files = [name for name in ("tokenizer.json", "preprocessor_config.json") if (checkpoint / name).is_file()]
        for kind in ("int8", "float32"):
            TransformersConverter(str(checkpoint), copy_files=files).convert(
                str(job.prepared / kind), quantization=kind
            )


def tuned(checkpoint: str, data: dict[str, Any], epochs: float) -> dict[str, Any]:
    """Return the recipe that tunes a checkpoint on the short window."""
    return {
        "name": "speed",
        "task": "speech_recognition",
        "data": data,
        "model": {"checkpoint": checkpoint, "window_seconds": WINDOW},
        "stages": [
            {
                "name": "full",
                "trainable": "all",
                "num_train_epochs": epochs,
                "learning_rate": 1e-5,
                "per_device_train_batch_size": 8,
            }
        ],
        "metrics": ["wer"],
    }


def predict(job: Job) -> Hear:
    """Hear as `hfmm predict` does."""
    from hfmm.tasks import BATCH_SIZE
    from hfmm.tasks.common.transcriber import Transcriber
    from hfmm.utils.hardware import inference_dtype

    model, processor = load_saved(str(job.prepared / "ours"), inference_dtype("auto"))
    listener = Transcriber(processor)
    model.eval()
    return lambda heard: list(listener.transcribe(model, heard, BATCH_SIZE))


def pipeline(job: Job, model: str, batch_size: int = 1, dtype: str = "float32", **settings: Any) -> Hear:
    """Hear through plain `transformers.pipeline`."""
    import transformers

    listen = transformers.pipeline("automatic-speech-recognition", model=str(job.prepared / model), dtype=dtype)

    def hear(heard: Sequence[np.ndarray]) -> list[str]:
        inputs = [{"raw": clip, "sampling_rate": 16000} for clip in heard]
        return [one["text"].strip() for one in listen(inputs, batch_size=batch_size, **settings)]

    return hear


def faster_whisper(job: Job, kind: str, beams: int) -> Hear:
    """Hear through faster-whisper, clip by clip, the window of its model being 30 s."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(job.prepared / kind), device="cpu", compute_type=kind)
    # On random weights it would try each clip again at higher temperatures, and cut it by times that mean nothing.
    once = {"max_new_tokens": TOKENS, "temperature": 0.0, "without_timestamps": True}
    fixed = {} if job.checkpoint else once

    def one(clip: np.ndarray) -> str:
        return "".join(part.text for part in model.transcribe(clip, beam_size=beams, language="en", **fixed)[0]).strip()

    return lambda heard: [one(clip) for clip in heard]


def errors(texts: list[str], references: list[str], job: Job) -> dict[str, float]:
    """Return the word error rate, which means something only where a checkpoint was given."""
    if not job.checkpoint:
        return {}
    from hfmm.metrics import wer

    edits, words = wer.row_statistics(texts, [{"text": text} for text in references])[""]
    return {"word error rate, %": 100 * float(edits.sum() / words.sum())}


def faster_whisper_sides(measured: Callable[..., Measured], asked: float | None = None) -> tuple[Side, ...]:
    """Return faster-whisper as it comes and greedily, in int8 and fp32; ``asked`` is of int8, greedy."""
    ways = (
        ("int8", "int8", 5, None),
        ("int8, greedy by hand", "int8", 1, asked),
        ("fp32, greedy by hand", "float32", 1, None),
    )
    return tuple(
        Side(
            f"faster-whisper {name}",
            partial(measured, way=faster_whisper, kind=kind, beams=beams),
            against=PREDICT,
            needs=FASTER,
            asked=wanted,
            differs=OTHER,
        )
        for name, kind, beams, wanted in ways
    )
