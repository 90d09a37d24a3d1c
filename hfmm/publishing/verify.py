"""The proof before anything is called done: a fresh process without hfmm must say what evaluation recorded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hfmm.errors import UserError
from hfmm.evaluation import BATCH_SIZE, EXAMPLES, load_task, read_predictions
from hfmm.recipe import Recipe
from hfmm.run_directory import RunDirectory
from hfmm.tasks import resolve

SCORE_TOLERANCE = 1e-3
# The snippet prints two decimals and predicts one example alone, so its last digit may differ by one.
PRINTED_TOLERANCE = 0.011


def verify(recipe: Recipe, run: RunDirectory) -> int:
    """Return how many recorded predictions plain `transformers.pipeline` has reproduced.

    Also runs the card's snippet and compares what it prints with what the card says. Raises
    UserError naming the first difference.
    """
    recorded = [row for row in read_predictions(run)[:EXAMPLES] if row["input"] is not None]
    with tempfile.TemporaryDirectory() as scratch:
        _check_predictions(recipe, run, recorded, Path(scratch))
        _check_snippet(recipe, run, Path(scratch))
    run.update_results(verified={"predictions": len(recorded), "snippet": True})
    return len(recorded)


def _check_predictions(recipe: Recipe, run: RunDirectory, recorded: list[dict[str, Any]], scratch: Path) -> None:
    _, task = load_task(run.model, resolve(recipe.task))
    names = []
    for index, row in enumerate(recorded):
        names.append(f"input-{index:03d}")
        (scratch / names[-1]).write_bytes(row["input"])
    job = {
        "task": task.pipeline_tag,
        "model": str(run.model.resolve()),
        "inputs": names,
        "arguments": task.pipeline_arguments(),
        "batch_size": BATCH_SIZE,
    }
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    _python(["-I", str(Path(__file__).with_name("clean_process.py")), str(scratch)], scratch)
    outputs = json.loads((scratch / "outputs.json").read_text(encoding="utf-8"))
    for row, output in zip(recorded, outputs, strict=True):
        said = task.from_pipeline(output)
        for key, value in said.items():
            if not _same(row[key], value):
                raise UserError(
                    f"Verification failed: for row {row['id']} evaluation recorded {key} {row[key]}, but "
                    f"transformers.pipeline on {run.model} gives {value}. The folder is not what was scored."
                )


def _check_snippet(recipe: Recipe, run: RunDirectory, scratch: Path) -> None:
    card = (run.model / "README.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)
    claimed = re.search(r"```text\n(.*?)```", card, flags=re.DOTALL)
    if snippet is None or claimed is None:
        raise UserError(f"{run.model}/README.md has no snippet with its output.")
    (scratch / recipe.name).symlink_to(run.model.resolve(), target_is_directory=True)
    (scratch / "snippet.py").write_text(snippet[1], encoding="utf-8")
    printed = _python(["-I", "snippet.py"], scratch)
    said, wanted = (text.strip().splitlines() for text in (printed, claimed[1]))
    if len(said) != len(wanted) or not all(map(_same_line, said, wanted)):
        raise UserError(
            f"Verification failed: the snippet of {run.model}/README.md prints\n{printed.strip()}\n"
            f"but the card says\n{claimed[1].strip()}"
        )


def _python(arguments: list[str], folder: Path) -> str:
    """Run this Python, offline, in ``folder``; return what it printed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"Verification failed: the model does not load with plain transformers. It said: {reason}")
    return done.stdout


def _same(recorded: Any, value: Any) -> bool:
    if isinstance(recorded, list):
        return len(recorded) == len(value) and all(map(_same, recorded, value))
    if isinstance(recorded, float):
        return abs(recorded - value) <= SCORE_TOLERANCE
    return bool(recorded == value)


def _same_line(said: str, wanted: str) -> bool:
    (said_score, _, said_label), (score, _, label) = said.partition(" "), wanted.partition(" ")
    return said_label == label and abs(float(said_score) - float(score)) <= PRINTED_TOLERANCE
