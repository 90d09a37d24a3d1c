"""What int8 weights cost and buy, measured on a finished run.

    python -m tests.benchmarks.int8_weights runs/whisper-verbs

For the model as it was saved, in bf16, and with int8 weights: the primary metric on the test rows, the size of the
weights, and the seconds that predicting the rows takes, of processor and of wall.
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
    """Measure one way after the other and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--rows", type=int, help="only the first of the test rows")
    arguments = parser.parse_args()
    plan, run = open_run(arguments.run)
    rows = prepare_data(plan, run, lambda step, text: None)["test"]
    rows = rows.take(arguments.rows or len(rows))
    saved, task, _ = load_saved_model(plan, run)
    references = tasks.collect_references(task, rows, plan.metrics.values())
    with tempfile.TemporaryDirectory() as name:
        bf16, rounded = Path(name) / "bf16", Path(name) / "int8"
        half, _ = load_saved(str(run.model), "bfloat16")
        half.save_pretrained(bf16)
        int8.save(str(run.model), rounded)
        ways = {
            "saved": (run.model, saved),
            "bf16": (bf16, half),
            "int8": (rounded, load_saved(str(rounded))[0]),
        }
        for way, (folder, model) in ways.items():
            list(task.predict(model.eval(), rows.take(BATCH_SIZE), BATCH_SIZE))  # the first batch finds all cold
            wall, processor = time.perf_counter(), time.process_time()
            said = list(task.predict(model, rows, BATCH_SIZE))
            spent = time.process_time() - processor, time.perf_counter() - wall
            tops, bottoms = metrics.compute(plan.primary_metric, task.metric_inputs(said), references)[0][""]
            print(
                f"{way}: {plan.primary_metric} {tops.sum() / bottoms.sum():.4f} of {len(rows)} rows, "
                f"{format_size(weights_size(folder))}, "
                f"{spent[0]:.1f} s of processor, {spent[1]:.1f} s of wall",
                flush=True,
            )


if __name__ == "__main__":
    main()
