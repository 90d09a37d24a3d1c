"""Rows per second of the dataset builders of hfmm with all processes. There are no peers."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.timed import timed


def build(job: Job, builder: str, **options: int | str) -> Measured:
    """Build a dataset as `hfmm data` does, but without writing the Parquet files."""
    from huggingface_hub import constants

    from hfmm import data as builders
    from hfmm.recipe.schema import Data
    from hfmm.utils import imports
    from hfmm.utils.hardware import available_cpus

    imports.silence_libraries()
    constants.HF_HOME = str(job.scratch)  # without cached recordings
    data_options = Data(builder=builder, train=job.options["rows"], validation=8, test=8, seed=0, **options)
    with timed() as timer:
        dataset = builders.build(data_options, {}, job.scratch / "cache", available_cpus())
    return Measured(sum(map(len, dataset.values())) / timer.seconds)


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
