"""The number of clips up to 5 s that are transcribed per second when all are passed at once, after a warmup."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks import speech
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.speech import OTHER_WINDOW, PREDICT
from tests.benchmarks.timed import timed


def all_at_once(job: Job, make_transcribe: Callable[..., speech.Transcribe], **settings: Any) -> Measured:
    """Transcribe all clips in one call."""
    clips, references = speech.load_clips(job.prepared)
    transcribe = make_transcribe(job, **settings)
    transcribe(clips[:1])
    with timed() as timer:
        texts = transcribe(clips)
    memory = peak_memory_mb()
    details = speech.word_error_rate(texts, references, job)
    return Measured(len(clips) / timer.seconds, texts, details=details, memory_mib=memory)


checkpoint = partial(all_at_once, make_transcribe=speech.pipeline, model="checkpoint")
CASE = Case(
    title="Whisper, many clips",
    unit="clips/s",
    family="whisper",
    sizes={
        "small": {"clips": 16, "shape": speech.WHISPER_SMALLER},
        "large": {"clips": 64, "shape": speech.WHISPER_TINY},
    },
    prepare=speech.prepare,
    tolerance=0.05,  # share of the texts: rounding depends on the batch size
    sides=(
        Side(PREDICT, partial(all_at_once, make_transcribe=speech.predict)),
        Side(
            "hfmm's model in pipeline",
            partial(all_at_once, make_transcribe=speech.pipeline, model="ours"),
            against=PREDICT,
        ),
        Side("checkpoint in pipeline", checkpoint, against=PREDICT, not_comparable=OTHER_WINDOW),
        Side(
            "checkpoint in pipeline, bf16, greedy, batches of 16 by hand",
            partial(checkpoint, dtype="bfloat16", batch_size=16, generate_kwargs={"num_beams": 1}),
            against=PREDICT,
            not_comparable=OTHER_WINDOW,
        ),
        *speech.faster_whisper_sides(all_at_once),
    ),
)
