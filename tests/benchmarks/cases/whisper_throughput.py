"""How many clips up to 5 s are heard a second when they come all at once, model loaded and warm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hfmm.utils.hardware import peak_memory_mb
from tests.benchmarks import speech
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.speech import OTHER, PREDICT
from tests.benchmarks.timed import timed


def together(job: Job, way: Callable[..., speech.Hear], **settings: Any) -> Measured:
    """Hear all clips in one call."""
    clips, references = speech.clips(job.prepared)
    hear = way(job, **settings)
    hear(clips[:1])
    with timed() as stretch:
        texts = hear(clips)
    memory = peak_memory_mb()
    return Measured(
        len(clips) / stretch.seconds, texts, details=speech.errors(texts, references, job), memory_mib=memory
    )


standard = partial(together, way=speech.pipeline, model="checkpoint")
CASE = Case(
    title="Whisper, many clips",
    unit="clips/s",
    family="whisper",
    sizes={
        "small": {"clips": 16, "shape": speech.HALF},
        "large": {"clips": 64, "shape": speech.WHISPER_TINY},
    },
    prepare=speech.prepare,
    tolerance=0.05,  # of the texts: a batch rounds otherwise than one clip
    sides=(
        Side(PREDICT, partial(together, way=speech.predict)),
        Side("hfmm's model in pipeline", partial(together, way=speech.pipeline, model="ours"), against=PREDICT),
        Side("checkpoint in pipeline", standard, against=PREDICT, differs=OTHER),
        Side(
            "checkpoint in pipeline, bf16, greedy, batches of 16 by hand",
            partial(standard, dtype="bfloat16", batch_size=16, generate_kwargs={"num_beams": 1}),
            against=PREDICT,
            differs=OTHER,
        ),
        *speech.faster_whisper_sides(together),
    ),
)
