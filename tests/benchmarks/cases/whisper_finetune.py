"""Whisper fine-tuning on clips up to 5 s: hfmm with a window of 5 s, the example script with the standard 30 s."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks import rows, speech, training
from tests.benchmarks.case import Case, Job, Measured, Side

BATCH = 8


def prepare(job: Job) -> None:
    """Write the rows, their decoded samples for the peers, and the checkpoint."""
    max_rows = job.options["rows"]
    dataset = rows.write("spoken_verbs", job.prepared, lambda split: split.select(range(min(len(split), max_rows))))
    speech.write_clips(len(dataset["train"]), "train", job.prepared, job.prepared / "cache")
    speech.write_checkpoint(job, job.prepared / "checkpoint")


def hfmm(job: Job) -> Measured:
    """Train as `hfmm run` does, with a window of 5 s."""
    checkpoint = str(job.prepared / "checkpoint")
    return training.train_with_hfmm(job, speech.tuning_recipe(checkpoint, rows.recipe_data(job.prepared), 1))


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
        tokens = processor.tokenizer([row["text"] for row in batch], padding=True, return_tensors="pt")
        ids = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, -100)
        ids = ids[:, 1:] if (ids[:, 0] == start).all() else ids
        return {"input_features": inputs["input_features"], "labels": ids}

    clips, texts = speech.load_clips(job.prepared)
    dataset = [{"samples": clip, "text": f" {text}"} for clip, text in zip(clips, texts, strict=True)]
    return training.train_with_trainer(job, model, dataset, collate, BATCH, in_bf16)


CASE = Case(
    title="Whisper fine-tuning, clips up to 5 s",
    unit="clips/s",
    family="whisper",
    sizes={
        "small": {"rows": 4 * BATCH, "shape": speech.WHISPER_SMALLER},
        "large": {"rows": 8 * BATCH, "shape": speech.WHISPER_TINY},
    },
    prepare=prepare,
    sides=(
        Side("hfmm", hfmm),
        Side("Trainer script", partial(script, in_bf16=False), against="hfmm", target=14),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against="hfmm"),
    ),
)
