"""What int8 weights cost and buy: ``python -m tests.benchmarks.int8_weights RUN...``.

For each finished run it prints the primary metric on the test rows, the size of the weights, and the seconds that
predicting the rows takes, of processor and of wall, by the model as it was saved, in bf16, and with int8 weights.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from hfmm import metrics, models, tasks
from hfmm.evaluation import load_task
from hfmm.models import int8
from hfmm.publishing.contents import readable
from hfmm.run import open_run, prepare_data
from hfmm.tasks import BATCH_SIZE, resolve


def size(folder: Path) -> str:
    """Return the size of a folder's weights in words."""
    return readable(sum(path.stat().st_size for path in folder.glob("*.safetensors")))


def main(roots: list[str]) -> None:
    """Measure one run after another."""
    for root in roots:
        recipe, run = open_run(Path(root))
        rows = prepare_data(recipe, run, lambda step, text: None)["test"]
        saved, task = load_task(run.model, *resolve(recipe))
        references = tasks.references(task, rows)
        bf16, rounded = models.reload(str(run.model), "bfloat16")[0], int8.load(str(run.model))[0]
        with tempfile.TemporaryDirectory() as name:
            for kind, model in (("saved", saved), ("bf16", bf16), ("int8", rounded)):
                folder = Path(name) / kind
                if kind == "int8":
                    int8.save(str(run.model), folder)
                else:
                    model.save_pretrained(folder)
                wall, processor = time.perf_counter(), time.process_time()
                said = list(task.predict(model.eval(), rows, BATCH_SIZE))
                spent = time.perf_counter() - wall, time.process_time() - processor
                tops, bottoms = metrics.measure(recipe.metrics[0], task.for_metrics(said), references)[0][""]
                print(
                    f"{recipe.name} {kind}: {recipe.metrics[0]} {tops.sum() / bottoms.sum():.4f} on {len(rows)} rows, "
                    f"{size(folder)}, {spent[1]:.1f} s of processor, {spent[0]:.1f} s of wall",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
