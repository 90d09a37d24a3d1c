"""The first stage of LLaVA: a projector is trained on captions, the vision tower and the language model are frozen.

With a real language model, the first gradients of an untrained projector are clipped by a factor of hundreds, so the
direction of the first steps depends on rounding. After fifty steps the script in bf16 differs more from the script in
fp32 than hfmm does. The losses of hfmm and of the script are compared in the same precision, at a learning rate at
which both are close in fp32.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks import llava
from tests.benchmarks.case import Case, Job, Measured, Side

LEARNING_RATE = 1e-4


def train_only_projector(model: Any) -> Any:
    """Freeze all other parameters."""
    model.requires_grad_(False).get_submodule(llava.PROJECTOR).requires_grad_(True)
    return model


def script(job: Job, in_bf16: bool) -> Measured:
    """Train as a plain Trainer script does."""
    return llava.script(job, in_bf16, LEARNING_RATE, train_only_projector)


HFMM, CACHED, CACHED_FP32 = "hfmm", "hfmm, features from disk", "hfmm, features from disk, fp32"
hfmm = partial(llava.hfmm, trainable=llava.PROJECTOR, learning_rate=LEARNING_RATE)
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
        Side(HFMM, partial(hfmm, cached=False)),
        Side(CACHED, partial(hfmm, cached=True), against=HFMM),
        Side(
            CACHED_FP32,
            partial(hfmm, cached=True, precision="fp32"),
            against=HFMM,
            not_comparable="another precision",
        ),
        Side("Trainer script", partial(script, in_bf16=False), against=HFMM, same_outputs_as=CACHED_FP32, target=6),
        Side("Trainer script, bf16 by hand", partial(script, in_bf16=True), against=HFMM),
    ),
)
