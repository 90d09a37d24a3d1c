"""LLaVA's first stage: a projector learns from captions, between an encoder and a language model that are frozen.

The first gradients of an untrained projector before a real language model are hundreds of times as long as what they
are clipped to, so that rounding decides where the first steps go: over fifty of them the script in bf16 strays further
from itself in fp32 than hfmm does. The losses of hfmm and of the script are compared in the same precision, and at a
rate that leaves the two in fp32 near each other.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks import llava
from tests.benchmarks.case import Case, Job, Measured, Side

RATE = 1e-4


def projector_alone(model: Any) -> Any:
    """Freeze all else."""
    model.requires_grad_(False).get_submodule(llava.PROJECTOR).requires_grad_(True)
    return model


def script(job: Job, in_bf16: bool) -> Measured:
    """Train as a plain Trainer script does."""
    return llava.script(job, in_bf16, RATE, projector_alone)


OWN, KEPT, IN_FP32 = "hfmm", "hfmm, features from disk", "hfmm, features from disk, fp32"
own = partial(llava.hfmm, train=llava.PROJECTOR, learning_rate=RATE)
CASE = Case(
    title="LLaVA align",
    unit="rows/s",
    family="llava",
    sizes={
        "small": {"rows": 20, "content": "captions", "shape": llava.SMALL},
        "large": {"rows": 100, "content": "captions", "shape": llava.LARGE},
    },
    prepare=llava.prepare,
    sides=(
        Side(OWN, partial(own, kept=False)),
        Side(KEPT, partial(own, kept=True), against=OWN),
        Side(IN_FP32, partial(own, kept=True, precision="fp32"), against=OWN, differs="another precision"),
        Side("Trainer script", partial(script, in_bf16=False), against=OWN, alike=IN_FP32, asked=6),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against=OWN),
    ),
)
