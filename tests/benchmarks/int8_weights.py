"""Score, size and speed of int8 weights, measured on a finished run.

    python -m tests.benchmarks.int8_weights runs/whisper-verbs

The model is measured as saved, in bf16, and with int8 weights: the primary metric on the test rows, the size of the
weights, and the CPU and wall-clock seconds of the predictions.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from hfmm import metrics, tasks
from hfmm.evaluation.predict import load_saved_model
from hfmm.hub.files import format_size, weights_size
from hfmm.models.common import int8
from hfmm.models.common.checkpoint import load_saved
from hfmm.run import open_run, prepare_data
from hfmm.tasks import BATCH_SIZE


def main() -> None:
    """Measure the variants one after the other, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--rows", type=int, metavar="N", help="use only the first N test rows")
    arguments = parser.parse_args()
    plan, run = open_run(arguments.run)
    rows = prepare_data(plan, run, lambda step, text: None)["test"]
    rows = rows.take(arguments.rows or len(rows))
    saved, task, _ = load_saved_model(plan, run)
    references = tasks.collect_references(task, rows, plan.metrics.values())
    with tempfile.TemporaryDirectory() as folder_name:
        bf16_folder, int8_folder = Path(folder_name) / "bf16", Path(folder_name) / "int8"
        bf16_model, _ = load_saved(str(run.model), "bfloat16")
        bf16_model.save_pretrained(bf16_folder)
        int8.save(str(run.model), int8_folder)
        variants = {
            "saved": (run.model, saved),
            "bf16": (bf16_folder, bf16_model),
            "int8": (int8_folder, load_saved(str(int8_folder))[0]),
        }
        for variant, (folder, model) in variants.items():
            list(task.predict(model.eval(), rows.take(BATCH_SIZE), BATCH_SIZE))  # warmup
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            predictions = list(task.predict(model, rows, BATCH_SIZE))
            cpu_seconds, wall_seconds = time.process_time() - cpu_start, time.perf_counter() - wall_start
            numerators, denominators = metrics.compute(
                plan.primary_metric, task.metric_inputs(predictions), references
            )[0][""]
            print(
                f"{variant}: {plan.primary_metric} {numerators.sum() / denominators.sum():.4f} of {len(rows)} rows, "
                f"{format_size(weights_size(folder))}, "
                f"{cpu_seconds:.1f} s CPU time, {wall_seconds:.1f} s wall-clock time",
                flush=True,
            )


if __name__ == "__main__":
    main()
