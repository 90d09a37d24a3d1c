"""How long one clip up to 5 s takes to hear, model loaded and warm: the median over clips heard one by one.

Random weights write ten tokens a clip on every side; with a checkpoint each side decodes as it does by itself, and
word error rates stand beside the times.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks import speech
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.speech import OTHER, PREDICT
from tests.benchmarks.timed import timed


def one_by_one(job: Job, way: Callable[..., speech.Hear], **settings: Any) -> Measured:
    """Hear each clip alone."""
    clips, references = speech.clips(job.prepared)
    hear = way(job, **settings)
    hear(clips[:1])
    texts, seconds = [], []
    for clip in clips:
        with timed() as stretch:
            texts += hear([clip])
        seconds.append(stretch.seconds)
    memory = peak_memory_mb()
    details = speech.errors(texts, references, job)
    return Measured(statistics.median(seconds), texts, details=details, memory_mib=memory)


PUBLISHED, IN_BF16 = "hfmm's model in pipeline", "hfmm's model in pipeline, published in bf16"
standard = partial(one_by_one, way=speech.pipeline, model="checkpoint")
CASE = Case(
    title="Whisper, one clip",
    unit="s",
    family="whisper",
    sizes={
        "small": {"clips": 4, "shape": speech.HALF},
        "large": {"clips": 12, "shape": speech.WHISPER_TINY},
    },
    prepare=speech.prepare,
    tolerance=0,
    sides=(
        Side(PREDICT, partial(one_by_one, way=speech.predict)),
        Side(PUBLISHED, partial(one_by_one, way=speech.pipeline, model="ours"), against=PREDICT),
        Side(IN_BF16, partial(one_by_one, way=speech.pipeline, model="ours", dtype="bfloat16"), against=PREDICT),
        Side("checkpoint in pipeline", standard, against=PREDICT, asked=6, differs=OTHER),
        Side("checkpoint in pipeline, beside hfmm's in it", standard, against=PUBLISHED, asked=4, differs=OTHER),
        Side("checkpoint in pipeline, beside hfmm's in bf16", standard, against=IN_BF16, asked=4, differs=OTHER),
        Side(
            "checkpoint in pipeline, bf16 and greedy by hand",
            partial(standard, dtype="bfloat16", generate_kwargs={"num_beams": 1}),
            against=PREDICT,
            differs=OTHER,
        ),
        *speech.faster_whisper_sides(one_by_one, asked=3.5),
    ),
)
