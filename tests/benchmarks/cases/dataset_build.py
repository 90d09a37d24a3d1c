"""Rows a second of hfmm's own builders, all processes at work; nothing else builds these rows."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.timed import timed


def build(job: Job, builder: str, **options: int | str) -> Measured:
    """Build a dataset as `hfmm data` does, without writing the Parquet files."""
    from huggingface_hub import constants

    from hfmm import data as builders
    from hfmm.recipe.schema import Data
    from hfmm.utils import imports
    from hfmm.utils.hardware import available_cpus

    imports.silence_libraries()
    constants.HF_HOME = str(job.scratch)  # where no recording lies that was spoken before
    spec = Data(builder=builder, train=job.options["rows"], validation=8, test=8, seed=0, **options)
    with timed() as stretch:
        built = builders.build(spec, {}, job.scratch / "cache", available_cpus())
    return Measured(sum(map(len, built.values())) / stretch.seconds)


CASE = Case(
    title="Building a dataset",
    unit="rows/s",
    sizes={"small": {"rows": 100}, "large": {"rows": 2000}},
    sides=(
        Side("icons, 64 pixels", partial(build, builder="icons", size=64)),
        Side("pages, 224 pixels", partial(build, builder="pages", size=224)),
        Side(
            "speech, each row another phrase",
            partial(build, builder="speech", content="outside phrases"),
            needs=("hibari",),
        ),
    ),
)
