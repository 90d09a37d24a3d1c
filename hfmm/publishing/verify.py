"""The proof before anything is called done: a fresh process without hfmm must say what evaluation recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

from hfmm.errors import UserError
from hfmm.evaluation import EXAMPLES, load_task, read_predictions
from hfmm.publishing.fenced import fenced
from hfmm.recipe import Recipe
from hfmm.run_directory import RunDirectory
from hfmm.tasks import BATCH_SIZE, resolve

SCORE_TOLERANCE = 1e-3
# The snippet prints two decimals and predicts one example alone, so its last digit may differ by one.
PRINTED_TOLERANCE = 0.011


def verify(recipe: Recipe, run: RunDirectory) -> int:
    """Return how many recorded predictions plain `transformers.pipeline` has reproduced from the run's folder.

    The same process runs the card's snippet, whose output must be what the card says. Raises
    UserError naming the first difference.
    """
    path = run.model / "README.md"
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    run.update_results(verified=None)  # what held of an earlier state of the folder says nothing of this one
    count = _prove(recipe, run, card, {"model": str(run.model.resolve())}, {**os.environ, "HF_HUB_OFFLINE": "1"})
    run.update_results(verified={"predictions": count, "snippet": True})
    return count


def verify_published(recipe: Recipe, run: RunDirectory, card: str, repo: str, branch: str, home: Path) -> int:
    """Return the same for a repository named by its id alone, through the cache in ``home``; raises UserError alike."""
    return _prove(recipe, run, card, {"task": None, "model": repo, "revision": branch}, clean_environment(home))


def clean_environment(home: Path) -> dict[str, str]:
    """Return the variables of a process that asks the Hub, with the user's login, into an empty cache in ``home``."""
    token = get_token()
    cache = {"HF_HUB_OFFLINE": "0", "HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub")}
    return {**os.environ, **cache, **({"HF_TOKEN": token} if token else {})}


def _prove(recipe: Recipe, run: RunDirectory, card: str, job: dict[str, Any], environment: dict[str, str]) -> int:
    recorded = [row for row in read_predictions(run)[:EXAMPLES] if row["input"] is not None]
    snippet, claimed = _snippet(card, run)
    model, task = load_task(run.model, *resolve(recipe))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = [f"input-{index:03d}" for index in range(len(recorded))]
        for file, row in zip(inputs, recorded, strict=True):
            (folder / file).write_bytes(row["input"])
        job = {
            "task": task.pipeline_tag,
            "revision": None,
            "medium": task.medium,
            "inputs": inputs,
            "arguments": task.pipeline_arguments(recorded),
            "batch_size": BATCH_SIZE,
            **job,
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        (folder / "snippet.py").write_text(snippet, encoding="utf-8")
        (folder / recipe.name).symlink_to(run.model.resolve(), target_is_directory=True)
        _run_clean(folder, environment)
        outputs = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))
        printed = (folder / "printed.txt").read_text(encoding="utf-8")
    for row, wanted, output in zip(recorded, task.expected(model, recorded), outputs, strict=True):
        _compare(job["model"], row["id"], wanted, task.from_pipeline(output))
    said, promised = printed.strip().splitlines(), claimed.strip().splitlines()
    if len(said) != len(promised) or not all(map(_same_line, said, promised)):
        raise UserError(
            f"Verification failed: the snippet in the card of {job['model']} prints\n{printed.strip()}\n"
            f"but the card says\n{claimed.strip()}"
        )
    return len(recorded)


def _snippet(card: str, run: RunDirectory) -> tuple[str, str]:
    """Return the card's snippet and the output it claims."""
    snippet, claimed = fenced(card, "python"), fenced(card, "text")
    if snippet is None or claimed is None:
        raise UserError(
            f"{run.model}/README.md has no snippet with its output. Write the card with `hfmm card {run.root}`."
        )
    return snippet, claimed


def _run_clean(folder: Path, environment: dict[str, str]) -> None:
    """Answer the job in ``folder`` in a fresh, isolated Python."""
    script = str(Path(__file__).with_name("clean_process.py"))
    environment = {**environment, "TRANSFORMERS_VERBOSITY": "error"}
    command = [sys.executable, "-I", script, str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"Verification failed: the model does not load with plain transformers. It said: {reason}")


def _compare(model: str, name: str, wanted: dict[str, Any], said: dict[str, Any]) -> None:
    for key, value in said.items():
        if not _same(wanted[key], value):
            raise UserError(
                f"Verification failed: for row {name} evaluation recorded {key} {wanted[key]}, but "
                f"transformers.pipeline on {model} gives {value}. The folder is not what was scored."
            )


def _same(recorded: Any, value: Any) -> bool:
    if isinstance(recorded, list):
        return len(recorded) == len(value) and all(map(_same, recorded, value))
    if isinstance(recorded, dict):
        return recorded.keys() == value.keys() and all(_same(recorded[key], value[key]) for key in recorded)
    if isinstance(recorded, float):
        return bool(abs(recorded - value) <= SCORE_TOLERANCE)
    return bool(recorded == value)


def _same_line(said: str, wanted: str) -> bool:
    """Tell whether two printed lines agree word by word, numbers to their last digit."""
    pairs = zip_longest(said.split(), wanted.split(), fillvalue="")
    return all(one == other or _near(one, other) for one, other in pairs)


def _near(one: str, other: str) -> bool:
    try:
        return abs(float(one) - float(other)) <= PRINTED_TOLERANCE
    except ValueError:
        return False
