"""Measure hfmm and its peers side by side, in fresh processes and in turn.

    pip install -e ".[bench]" -c constraints.txt
    pip install -e ".[bench-open-clip]" -c constraints.txt    # with open_clip, which brings torchvision
    python -m tests.benchmarks                         # every case at both sizes, three times
    python -m tests.benchmarks --quick                 # every case once, small: does all of it run? Nothing is kept
    python -m tests.benchmarks vit_finetune --size large --checkpoint FOLDER

Figures go to benchmarks.json, case by case and size by size: those that are not measured now stay. The picture stands
beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from hfmm.errors import UserError
from hfmm.utils.files import write_json
from hfmm.utils.hardware import available_cpus
from tests.benchmarks import case as cases
from tests.benchmarks import process
from tests.benchmarks.plot import draw
from tests.benchmarks.suite import merged, run_case
from tests.benchmarks.table import lines

BENCHMARKS = Path(__file__).parent / "benchmarks.json"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the command line, read."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", metavar="name", help=f"all unless given: {', '.join(cases.names())}")
    parser.add_argument("--size", choices=cases.SIZES, action="append", help="both unless given")
    parser.add_argument("--repeats", type=int, choices=range(1, 100), metavar="N", default=3)
    parser.add_argument("--quick", action="store_true", help="the small size, once; figures are shown and not kept")
    parser.add_argument("--threads", type=int, default=available_cpus(), help="of every side; all cores unless given")
    parser.add_argument(
        "--checkpoint", type=Path, action="append", default=[],
        help="a folder that stands in for random weights in the cases of its model type; as often as you like",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=BENCHMARKS)
    found = parser.parse_args(words)
    if found.quick:
        if found.size:
            parser.error("--quick is the small size: leave out --size")
        found.size, found.repeats = ["small"], 1
    return found


def checkpoint_of(chosen: dict[str, cases.Case], folders: list[Path]) -> dict[str, str]:
    """Return the folder of each case that is given one; raises UserError for a folder that fits no chosen case."""
    found: dict[str, str] = {}
    for folder in folders:
        if not (folder / "config.json").is_file():
            raise UserError(f"{folder} holds no model: config.json is missing.")
        kind = json.loads((folder / "config.json").read_text())["model_type"]
        fitting = [name for name, case in chosen.items() if case.family == kind]
        if not fitting:
            raise UserError(f"{folder} is a {kind!r} model, which none of {', '.join(chosen)} can use.")
        found |= dict.fromkeys(fitting, str(folder.resolve()))
    return found


def main() -> None:
    """Run what is asked for, write the figures after each case, print the table."""
    asked = arguments()
    chosen = {name: cases.load(name) for name in asked.names or cases.names()}
    checkpoints = checkpoint_of(chosen, asked.checkpoint)
    known: dict[str, Any] = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    machine = process.describe_machine(asked.threads)
    print(
        f"{machine['hardware']}, {machine['threads']} threads, bf16 unit: {machine['bf16_unit']}, matrix peak "
        + ", ".join(f"{name} {peak:,.0f} GFLOP/s" for name, peak in machine["peak_gflops"].items()),
        flush=True,
    )
    sizes = [size for size in cases.SIZES if size in (asked.size or cases.SIZES)]
    fresh: dict[str, Any] = {}
    for name, case in chosen.items():
        fresh[name] = run_case(
            name, case, sizes, asked.repeats, machine, checkpoints.get(name), lambda line: print(line, flush=True)
        )
        if not asked.quick:
            known[name] = merged(known.get(name, {}), fresh[name])
            known = {one: known[one] for one in cases.names() if one in known}
            write_json(asked.out, known)
            draw(known, asked.out.with_suffix(".png"))
    print("\n" + "\n".join(lines(fresh)))
    statuses = [
        side["status"] for one in fresh.values() for size in one["sizes"].values() for side in size["sides"].values()
    ]
    sys.exit("A side failed." if "failed" in statuses else None)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
