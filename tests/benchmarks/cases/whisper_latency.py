"""The time to transcribe one clip up to 5 s after a warmup: the median of clips that are transcribed one by one.

With random weights every side generates ten tokens per clip. With a checkpoint each side uses its default decoding, and
word error rates are reported as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks import speech
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.speech import OTHER_WINDOW, PREDICT
from tests.benchmarks.timed import timed


def one_by_one(job: Job, make_transcribe: Callable[..., speech.Transcribe], **settings: Any) -> Measured:
    """Transcribe each clip in its own call."""
    clips, references = speech.load_clips(job.prepared)
    transcribe = make_transcribe(job, **settings)
    transcribe(clips[:1])
    texts, seconds = [], []
    for clip in clips:
        with timed() as timer:
            texts += transcribe([clip])
        seconds.append(timer.seconds)
    memory = peak_memory_mb()
    details = speech.word_error_rate(texts, references, job)
    return Measured(statistics.median(seconds), texts, details=details, memory_mib=memory)


PUBLISHED, IN_BF16 = "hfmm's model in pipeline", "hfmm's model in pipeline, published in bf16"
checkpoint = partial(one_by_one, make_transcribe=speech.pipeline, model="checkpoint")
CASE = Case(
    title="Whisper, one clip",
    unit="s",
    family="whisper",
    sizes={
        "small": {"clips": 4, "shape": speech.WHISPER_SMALLER},
        "large": {"clips": 12, "shape": speech.WHISPER_TINY},
    },
    prepare=speech.prepare,
    tolerance=0,
    sides=(
        Side(PREDICT, partial(one_by_one, make_transcribe=speech.predict)),
        Side(PUBLISHED, partial(one_by_one, make_transcribe=speech.pipeline, model="ours"), against=PREDICT),
        Side(
            IN_BF16,
            partial(one_by_one, make_transcribe=speech.pipeline, model="ours", dtype="bfloat16"),
            against=PREDICT,
        ),
        Side("checkpoint in pipeline", checkpoint, against=PREDICT, target=6, not_comparable=OTHER_WINDOW),
        Side(
            "checkpoint in pipeline, beside hfmm's in it",
            checkpoint,
            against=PUBLISHED,
            target=4,
            not_comparable=OTHER_WINDOW,
        ),
        Side(
            "checkpoint in pipeline, beside hfmm's in bf16",
            checkpoint,
            against=IN_BF16,
            target=4,
            not_comparable=OTHER_WINDOW,
        ),
        Side(
            "checkpoint in pipeline, bf16 and greedy by hand",
            partial(checkpoint, dtype="bfloat16", generate_kwargs={"num_beams": 1}),
            against=PREDICT,
            not_comparable=OTHER_WINDOW,
        ),
        *speech.faster_whisper_sides(one_by_one, target=3.5),
    ),
)
