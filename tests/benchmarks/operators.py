"""Where the time of a case goes, by kind of operation: what a ratio is made of, and what bounds it.

    python -m tests.benchmarks.operators vit_finetune --size large [--checkpoint FOLDER]

Every side is run once under torch's profiler, which costs the small sizes more than the large ones: the shares are what
to read, not the seconds. A side that has none, as faster-whisper, does not use torch.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hfmm.errors import UserError
from hfmm.utils.hardware import available_cpus
from tests.benchmarks import case as cases
from tests.benchmarks import process, timed
from tests.benchmarks.__main__ import checkpoint_of
from tests.benchmarks.case import Job

# By what stands in an operator's name, the first kind that fits.
KINDS = {
    "optimizer": ("adamw", "foreach", "linalg_vector_norm"),
    "attention": ("scaled_dot_product", "flash_attention"),
    "matrix products": ("mm", "matmul", "linear", "convolution", "mkldnn", "einsum"),
    "copies and casts": ("copy", "aten::to", "clone", "contiguous", "aten::cat", "fill_", "zero_", "empty", "pad"),
    "norms, softmax, activations": ("norm", "softmax", "gelu", "relu", "silu", "sigmoid", "tanh"),
}
REST, OUTSIDE = "other operators", "outside torch"


def kind(operator: str) -> str:
    """Return the kind of an operator by its name."""
    return next((name for name, parts in KINDS.items() if any(part in operator for part in parts)), REST)


def shares(microseconds: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Return the share of ``seconds`` that each kind took, from the time of each operator itself."""
    found: defaultdict[str, float] = defaultdict(float)
    for operator, spent in microseconds.items():
        found[kind(operator)] += spent / 1e6 / seconds
    names = (*KINDS, REST)
    return {name: found[name] for name in names} | {OUTSIDE: max(0.0, 1 - sum(found.values()))}


class Spent:
    """The seconds that were watched, and the microseconds of each operator itself within them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.operators: Counter[str] = Counter()

    def start(self) -> None:
        """Watch from now on."""
        from torch.profiler import ProfilerActivity, profile

        self.profiler = profile(activities=[ProfilerActivity.CPU])
        self.profiler.start()
        self.begun = time.perf_counter()

    def stop(self) -> None:
        """Add what was watched."""
        self.seconds += time.perf_counter() - self.begun
        self.profiler.stop()
        for one in self.profiler.key_averages():
            if one.key.startswith("aten::"):
                self.operators[one.key] += one.self_cpu_time_total


@contextlib.contextmanager
def watched(spent: Spent) -> Iterator[None]:
    """Within it what every Trainer does from its first step to its last is watched, and every stretch that is timed.

    What comes after the last step, scoring and saving, is left out: peers do neither.
    """
    from transformers import Trainer, TrainerCallback

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            spent.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == state.max_steps:
                spent.stop()

    @contextlib.contextmanager
    def watch() -> Iterator[None]:
        spent.start()
        yield
        spent.stop()

    train = Trainer.train

    def watching(trainer: Trainer, *arguments: Any, **options: Any) -> Any:
        trainer.add_callback(Watch())
        return train(trainer, *arguments, **options)

    Trainer.train, timed.watch = watching, watch
    try:
        yield
    finally:
        Trainer.train, timed.watch = train, contextlib.nullcontext


def profiled(name: str, size: str, side: str, prepared: Path, checkpoint: str | None) -> dict[str, float] | None:
    """Run a side and return its shares; None where it used no torch."""
    case, spent = cases.load(name), Spent()
    with tempfile.TemporaryDirectory() as scratch, watched(spent):
        case.side(side).run(Job(case.sizes[size], prepared, Path(scratch), checkpoint))  # type: ignore[index]
    return shares(spent.operators, spent.seconds) if spent.operators else None


def main() -> None:
    """Print the shares of every side, each from a process of its own; an empty row is one that used no torch."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.operators")
    parser.add_argument("name", choices=cases.names())
    parser.add_argument("--size", choices=cases.SIZES, default="large")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    asked = parser.parse_args()
    case = cases.load(asked.name)
    checkpoint = checkpoint_of({asked.name: case}, asked.checkpoint).get(asked.name)
    os.environ |= process.environment(available_cpus())
    with tempfile.TemporaryDirectory() as prepared:
        process.measure(asked.name, asked.size, process.PREPARE, Path(prepared), available_cpus(), checkpoint)
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            rows = {
                side.name: pool.apply(profiled, (asked.name, asked.size, side.name, Path(prepared), checkpoint))
                for side in case.sides
                if not process.missing(side)
            }
    kinds = (*KINDS, REST, OUTSIDE)
    print("| side | " + " | ".join(kinds) + " |")
    print("|---" * (1 + len(kinds)) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join("" if row is None else f"{100 * row[one]:.0f} %" for one in kinds) + " |")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
