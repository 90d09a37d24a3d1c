"""How long one clip up to 5 s takes to hear, model loaded and warm: the median over clips heard one by one.

Random weights write ten tokens a clip on every side; with a checkpoint each side decodes as it does by itself, and
word error rates stand beside the times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from hfmm.hardware import peak_memory_mb
from tests.benchmarks import speech
from tests.benchmarks.case import Case, Job, Measured, Side


def one_by_one(job: Job, way: Callable[..., speech.Hear], **settings: Any) -> Measured:
    """Hear each clip alone."""
    clips, references = speech.clips(job.prepared)
    hear = way(job, **settings)
    hear(clips[:1])
    texts, seconds = [], []
    for clip in clips:
        begun = time.perf_counter()
        texts += hear([clip])
        seconds.append(time.perf_counter() - begun)
    memory = peak_memory_mb()
    details = speech.errors(texts, references, job)
    return Measured(statistics.median(seconds), texts, details=details, memory_mib=memory)


PREDICT, PUBLISHED = "hfmm predict", "hfmm's model in pipeline"
OTHER, FASTER = "another window", ("faster_whisper", "ctranslate2")
standard = partial(one_by_one, way=speech.pipeline, model="checkpoint")
fast = partial(one_by_one, way=speech.faster_whisper)
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
        Side("checkpoint in pipeline", standard, against=PREDICT, asked=6, differs=OTHER),
        Side("checkpoint in the same pipeline", standard, against=PUBLISHED, asked=4, differs=OTHER),
        Side(
            "checkpoint in pipeline, bf16 and greedy by hand",
            partial(standard, dtype="bfloat16", generate_kwargs={"num_beams": 1}),
            against=PREDICT,
            differs=OTHER,
        ),
        Side("faster-whisper int8", partial(fast, kind="int8", beams=5), against=PREDICT, needs=FASTER, differs=OTHER),
        Side(
            "faster-whisper int8, greedy by hand",
            partial(fast, kind="int8", beams=1),
            against=PREDICT,
            needs=FASTER,
            asked=3.5,
            differs=OTHER,
        ),
        Side(
            "faster-whisper fp32, greedy by hand",
            partial(fast, kind="float32", beams=1),
            against=PREDICT,
            needs=FASTER,
            differs=OTHER,
        ),
    ),
)
