"""Whisper fine-tuning on clips up to 5 s: hfmm's short window beside the standard 30 s of the example script."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks import rows, speech, training
from tests.benchmarks.case import Case, Job, Measured, Side

BATCH = 8


def prepare(job: Job) -> None:
    """Write the rows, their samples for the peers, who need not decode them, and the checkpoint."""
    built = rows.write("clips", job.prepared, lambda split: split.select(range(min(len(split), job.options["rows"]))))
    speech.write_clips(len(built["train"]), "train", job.prepared, job.prepared / "cache")
    speech.write_checkpoint(job, job.prepared / "checkpoint")


def hfmm(job: Job) -> Measured:
    """Train as `hfmm run` does, on a window of 5 s."""
    checkpoint = str(job.prepared / "checkpoint")
    return training.own(job, speech.tuned(checkpoint, rows.recipe_data(job.prepared), 1))


def script(job: Job, in_bf16: bool) -> Measured:
    """Train as run_speech_recognition_seq2seq.py does."""
    from transformers import AutoProcessor, WhisperForConditionalGeneration, set_seed

    set_seed(0)
    processor = AutoProcessor.from_pretrained(job.prepared / "checkpoint")
    model = WhisperForConditionalGeneration.from_pretrained(job.prepared / "checkpoint", dtype="float32")
    start = model.config.decoder_start_token_id

    def collate(batch: Any) -> dict[str, Any]:
        samples = [row["samples"] for row in batch]
        inputs = processor.feature_extractor(samples, sampling_rate=16000, return_tensors="pt")
        labels = processor.tokenizer([row["text"] for row in batch], padding=True, return_tensors="pt")
        ids = labels["input_ids"].masked_fill(labels["attention_mask"] == 0, -100)
        ids = ids[:, 1:] if (ids[:, 0] == start).all() else ids
        return {"input_features": inputs["input_features"], "labels": ids}

    samples, texts = speech.clips(job.prepared)
    read = [{"samples": one, "text": f" {text}"} for one, text in zip(samples, texts, strict=True)]
    return training.plain(job, model, read, collate, BATCH, in_bf16)


CASE = Case(
    title="Whisper fine-tuning, clips up to 5 s",
    unit="clips/s",
    family="whisper",
    sizes={
        "small": {"rows": 4 * BATCH, "shape": speech.HALF},
        "large": {"rows": 8 * BATCH, "shape": speech.WHISPER_TINY},
    },
    prepare=prepare,
    sides=(
        Side("hfmm", hfmm),
        Side("Trainer script", partial(script, in_bf16=False), against="hfmm", asked=14),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against="hfmm"),
    ),
)
