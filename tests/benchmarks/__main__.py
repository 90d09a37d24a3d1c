"""Measure hfmm and its peers side by side, in separate processes and in turn.

    pip install -e ".[bench]" -c constraints.txt
    pip install -e ".[bench-open-clip]" -c constraints.txt    # with open_clip, which installs torchvision
    python -m tests.benchmarks                         # every case at both sizes, three times
    python -m tests.benchmarks --quick                 # every case once at the small size; nothing is saved
    python -m tests.benchmarks vit_finetune --size large --checkpoint FOLDER

The figures are saved to benchmarks.json, per case and size. Cases and sizes that are not measured keep their figures.
A plot is saved next to it.
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
from tests.benchmarks.suite import merge_records, run_case
from tests.benchmarks.table import full_table

BENCHMARKS = Path(__file__).parent / "benchmarks.json"


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", metavar="name", help=f"default: all. {', '.join(cases.names())}")
    parser.add_argument("--size", choices=cases.SIZES, action="append", help="default: both")
    parser.add_argument("--repeats", type=int, choices=range(1, 100), metavar="N", default=3)
    parser.add_argument("--quick", action="store_true", help="measure the small size once, and save nothing")
    parser.add_argument("--threads", type=int, default=available_cpus(), help="threads of each side; default: all CPUs")
    parser.add_argument(
        "--checkpoint", type=Path, action="append", default=[],
        help="a folder with pretrained weights for the cases of its model type; can be repeated",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=BENCHMARKS)
    arguments = parser.parse_args(words)
    if arguments.quick:
        if arguments.size:
            parser.error("--quick measures the small size: leave out --size")
        arguments.size, arguments.repeats = ["small"], 1
    return arguments


def assign_checkpoints(selected: dict[str, cases.Case], folders: list[Path]) -> dict[str, str]:
    """Return the checkpoint folder of each case that has one. Raises UserError for a folder that fits no case."""
    checkpoints: dict[str, str] = {}
    for folder in folders:
        if not (folder / "config.json").is_file():
            raise UserError(f"{folder} is not a model folder: config.json is missing.")
        model_type = json.loads((folder / "config.json").read_text())["model_type"]
        matching = [name for name, case in selected.items() if case.family == model_type]
        if not matching:
            raise UserError(f"{folder} is a {model_type!r} model, which none of {', '.join(selected)} can use.")
        checkpoints |= dict.fromkeys(matching, str(folder.resolve()))
    return checkpoints


def main() -> None:
    """Run the selected cases, save the figures after each case, and print the table."""
    arguments = parse_arguments()
    selected = {name: cases.load(name) for name in arguments.names or cases.names()}
    checkpoints = assign_checkpoints(selected, arguments.checkpoint)
    records: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    machine = process.describe_machine(arguments.threads)
    print(
        f"{machine['hardware']}, {machine['threads']} threads, bf16 unit: {machine['bf16_unit']}, matrix peak "
        + ", ".join(f"{name} {peak:,.0f} GFLOP/s" for name, peak in machine["peak_gflops"].items()),
        flush=True,
    )
    sizes = [size for size in cases.SIZES if size in (arguments.size or cases.SIZES)]
    new_records: dict[str, Any] = {}
    for name, case in selected.items():
        new_records[name] = run_case(
            name, case, sizes, arguments.repeats, machine, checkpoints.get(name), lambda line: print(line, flush=True)
        )
        if not arguments.quick:
            records[name] = merge_records(records.get(name, {}), new_records[name])
            records = {case_name: records[case_name] for case_name in cases.names() if case_name in records}
            write_json(arguments.out, records)
            draw(records, arguments.out.with_suffix(".png"))
    print("\n" + "\n".join(full_table(new_records)))
    statuses = [
        side["status"]
        for record in new_records.values()
        for size_record in record["sizes"].values()
        for side in size_record["sides"].values()
    ]
    sys.exit("A side failed." if "failed" in statuses else None)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
