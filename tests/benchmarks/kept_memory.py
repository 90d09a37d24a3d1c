"""The speedup from keeping freed memory: the hfmm side of a case with and without it, in turn.

    python -m tests.benchmarks.kept_memory vit_finetune clip_finetune [--checkpoint FOLDER]

Each run has its own process, because a later run would reuse the memory that an earlier one kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
from pathlib import Path

from hfmm import models
from hfmm.errors import UserError
from hfmm.utils.hardware import available_cpus
from tests.benchmarks import arithmetic, process
from tests.benchmarks import case as cases
from tests.benchmarks.__main__ import assign_checkpoints
from tests.benchmarks.case import Job


def run_once(name: str, prepared: Path, checkpoint: str | None, keep_memory: bool) -> tuple[float, float]:
    """Return the figure of hfmm's first side at the large size, and its memory in MiB."""
    if not keep_memory:
        models.configure_malloc = lambda: None
    case = cases.load(name)
    with tempfile.TemporaryDirectory() as scratch:
        result = case.sides[0].run(Job(case.sizes["large"], prepared, Path(scratch), checkpoint))
    return result.value, result.memory_mib


def main() -> None:
    """Print one row for each case."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kept_memory")
    parser.add_argument("names", nargs="+", choices=cases.names(), metavar="name")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    selected = {name: cases.load(name) for name in arguments.names}
    checkpoints = assign_checkpoints(selected, arguments.checkpoint)
    os.environ |= process.environment(available_cpus())
    print("| case | given back | kept | faster | MiB | MiB, kept |\n|---|---|---|---|---|---|")
    for name, case in selected.items():
        with tempfile.TemporaryDirectory() as prepared:
            checkpoint = checkpoints.get(name)
            process.measure(name, "large", process.PREPARE, Path(prepared), available_cpus(), checkpoint)
            with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
                results: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
                for repeat in range(arguments.repeats):
                    for keep_memory in (False, True) if repeat % 2 == 0 else (True, False):
                        result = pool.apply(run_once, (name, Path(prepared), checkpoint, keep_memory))
                        results[keep_memory].append(result)
        (values_without, memory_without), (values_with, memory_with) = (
            map(list, zip(*results[keep_memory], strict=True)) for keep_memory in (False, True)
        )
        ratio = arithmetic.times_faster(values_with, values_without, case.unit != "s")
        print(
            f"| {case.title} | {statistics.median(values_without):.3g} {case.unit} | "
            f"{statistics.median(values_with):.3g} | "
            f"x {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) | "
            f"{max(memory_without):,.0f} | {max(memory_with):,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
