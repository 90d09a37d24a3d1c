"""What it gains to keep the memory that a step frees: hfmm's own side of a case with that and without, in turn.

    python -m tests.benchmarks.kept_memory vit_finetune clip_finetune [--checkpoint FOLDER]

Each run has a process of its own: what one has kept, another would find.
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
from tests.benchmarks.__main__ import checkpoint_of
from tests.benchmarks.case import Job


def once(name: str, prepared: Path, checkpoint: str | None, kept: bool) -> tuple[float, float]:
    """Return what hfmm's first side measures at the large size, and its memory in MiB."""
    if not kept:
        models.configure_malloc = lambda: None
    case = cases.load(name)
    with tempfile.TemporaryDirectory() as scratch:
        found = case.sides[0].run(Job(case.sizes["large"], prepared, Path(scratch), checkpoint))
    return found.value, found.memory_mib


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kept_memory")
    parser.add_argument("names", nargs="+", choices=cases.names(), metavar="name")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    asked = parser.parse_args()
    chosen = {name: cases.load(name) for name in asked.names}
    checkpoints = checkpoint_of(chosen, asked.checkpoint)
    os.environ |= process.environment(available_cpus())
    print("| case | given back | kept | faster | MiB | MiB, kept |\n|---|---|---|---|---|---|")
    for name, case in chosen.items():
        with tempfile.TemporaryDirectory() as prepared:
            checkpoint = checkpoints.get(name)
            process.measure(name, "large", process.PREPARE, Path(prepared), available_cpus(), checkpoint)
            with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
                found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
                for repeat in range(asked.repeats):
                    for kept in (False, True) if repeat % 2 == 0 else (True, False):
                        found[kept].append(pool.apply(once, (name, Path(prepared), checkpoint, kept)))
        (before, held_before), (after, held) = (map(list, zip(*found[kept], strict=True)) for kept in (False, True))
        ratio = arithmetic.times_faster(after, before, case.unit != "s")
        print(
            f"| {case.title} | {statistics.median(before):.3g} {case.unit} | {statistics.median(after):.3g} | "
            f"x {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) | "
            f"{max(held_before):,.0f} | {max(held):,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
