"""The time of a case by kind of operation.

    python -m tests.benchmarks.operators vit_finetune --size large [--checkpoint FOLDER]

Each side runs once under the profiler of torch. The profiler slows down the small sizes more than the large ones, so
read the shares and not the seconds. A side without shares, such as faster-whisper, does not use torch.
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
from tests.benchmarks.__main__ import assign_checkpoints
from tests.benchmarks.case import Job

# Substrings of operator names. The first kind that matches counts.
KINDS = {
    "optimizer": ("adamw", "foreach", "linalg_vector_norm"),
    "attention": ("scaled_dot_product", "flash_attention"),
    "matrix products": ("mm", "matmul", "linear", "convolution", "mkldnn", "einsum"),
    "copies and casts": ("copy", "aten::to", "clone", "contiguous", "aten::cat", "fill_", "zero_", "empty", "pad"),
    "norms, softmax, activations": ("norm", "softmax", "gelu", "relu", "silu", "sigmoid", "tanh"),
}
OTHER, OUTSIDE = "other operators", "outside torch"


def operator_kind(operator: str) -> str:
    """Return the kind of an operator by its name."""
    return next((kind for kind, parts in KINDS.items() if any(part in operator for part in parts)), OTHER)


def time_shares(microseconds: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Return the share of ``seconds`` that each kind took, from the self time of each operator."""
    shares: defaultdict[str, float] = defaultdict(float)
    for operator, self_time in microseconds.items():
        shares[operator_kind(operator)] += self_time / 1e6 / seconds
    kinds = (*KINDS, OTHER)
    return {kind: shares[kind] for kind in kinds} | {OUTSIDE: max(0.0, 1 - sum(shares.values()))}


class Profile:
    """The profiled seconds, and the self time of each operator in microseconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.operators: Counter[str] = Counter()

    def start(self) -> None:
        """Start profiling."""
        from torch.profiler import ProfilerActivity, profile

        self.profiler = profile(activities=[ProfilerActivity.CPU])
        self.profiler.start()
        self.started = time.perf_counter()

    def stop(self) -> None:
        """Stop profiling and add the result."""
        self.seconds += time.perf_counter() - self.started
        self.profiler.stop()
        for event in self.profiler.key_averages():
            if event.key.startswith("aten::"):
                self.operators[event.key] += event.self_cpu_time_total


@contextlib.contextmanager
def profiling(profile: Profile) -> Iterator[None]:
    """Profile within the block every Trainer from its first step to its last, and every timed block.

    The time after the last step, evaluation and saving, is left out because peers do neither.
    """
    from transformers import Trainer, TrainerCallback

    class ProfileCallback(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            profile.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == state.max_steps:
                profile.stop()

    @contextlib.contextmanager
    def profile_block() -> Iterator[None]:
        profile.start()
        yield
        profile.stop()

    train = Trainer.train

    def train_with_profile(trainer: Trainer, *args: Any, **kwargs: Any) -> Any:
        trainer.add_callback(ProfileCallback())
        return train(trainer, *args, **kwargs)

    Trainer.train, timed.profiler = train_with_profile, profile_block
    try:
        yield
    finally:
        Trainer.train, timed.profiler = train, contextlib.nullcontext


def profile_side(name: str, size: str, side: str, prepared: Path, checkpoint: str | None) -> dict[str, float] | None:
    """Run a side and return its time shares. None if it does not use torch."""
    case, profile = cases.load(name), Profile()
    with tempfile.TemporaryDirectory() as scratch, profiling(profile):
        case.side(side).run(Job(case.sizes[size], prepared, Path(scratch), checkpoint))  # type: ignore[index]
    return time_shares(profile.operators, profile.seconds) if profile.operators else None


def main() -> None:
    """Print the time shares of each side, measured in separate processes. Sides without torch have an empty row."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.operators")
    parser.add_argument("name", choices=cases.names())
    parser.add_argument("--size", choices=cases.SIZES, default="large")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    name, size, case = arguments.name, arguments.size, cases.load(arguments.name)
    checkpoint = assign_checkpoints({name: case}, arguments.checkpoint).get(name)
    os.environ |= process.environment(available_cpus())
    with tempfile.TemporaryDirectory() as prepared:
        process.measure(name, size, process.PREPARE, Path(prepared), available_cpus(), checkpoint)
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            shares_by_side = {
                side.name: pool.apply(profile_side, (name, size, side.name, Path(prepared), checkpoint))
                for side in case.sides
                if not process.missing_module(side)
            }
    kinds = (*KINDS, OTHER, OUTSIDE)
    print("| side | " + " | ".join(kinds) + " |")
    print("|---" * (1 + len(kinds)) + "|")
    for side_name, shares in shares_by_side.items():
        cells = ["" if shares is None else f"{100 * shares[kind]:.0f} %" for kind in kinds]
        print(f"| {side_name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
