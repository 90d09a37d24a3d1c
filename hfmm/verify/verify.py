"""The proof before anything is called done: a fresh process without hfmm must say what evaluation recorded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hfmm.card.code_blocks import code_block
from hfmm.errors import UserError
from hfmm.evaluation.predict import load_model_and_task
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory
from hfmm.tasks import resolve
from hfmm.verify import process

REPRODUCED = "{} predictions and the card's snippet reproduced in a clean process"  # told of what `verify` returns
SCORE_TOLERANCE = 1e-3
# The snippet prints two decimals and predicts one example alone, so its last digit may differ by one.
PRINTED_TOLERANCE = 0.011


def verify(recipe: Recipe, run: RunDirectory) -> int:
    """Return how many recorded predictions plain `transformers.pipeline` has reproduced from the run's folder.

    The same process runs the card's snippet, whose output must be what the card says. Raises
    UserError naming the first difference.
    """
    with process.fresh_python(process.offline_env()) as room:
        return verify_with(room, recipe, run)


def verify_with(room: process.PythonProcess, recipe: Recipe, run: RunDirectory) -> int:
    """Return the same of a clean room that was opened before there was anything to verify."""
    path = run.model / "README.md"
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    run.update_results(verified=None)  # what held of an earlier state of the folder says nothing of this one
    count = _verify(recipe, run, card, {"model": str(run.model.resolve())}, room)
    run.update_results(verified={"predictions": count, "snippet": True})
    return count


def verify_published(recipe: Recipe, run: RunDirectory, card: str, repo: str, branch: str, home: Path) -> int:
    """Return the same for a repository named by its id alone, through the cache in ``home``; raises UserError alike."""
    with process.fresh_python(process.online_env(home)) as room:
        return _verify(recipe, run, card, process.job_for_repo(repo, branch), room)


def _verify(recipe: Recipe, run: RunDirectory, card: str, job: Mapping[str, Any], room: process.PythonProcess) -> int:
    recorded = process.rows_with_inputs(run)
    snippet, claimed = code_block(card, "python"), code_block(card, "text")
    if snippet is None or claimed is None:
        raise UserError(
            f"{run.model}/README.md has no snippet with its output. Write the card with `hfmm card {run.root}`."
        )
    model, task = load_model_and_task(run.model, *resolve(recipe))
    said = process.run_pipeline(task, recorded, snippet, job, {recipe.name: run.model}, room)
    for row, wanted, output in zip(recorded, task.expected_pipeline_output(model, recorded), said.outputs, strict=True):
        _compare(job["model"], row["id"], wanted, task.parse_pipeline_output(output))
    compare_printed(job["model"], said.printed, claimed)
    return len(recorded)


def compare_printed(model: str, printed: str, claimed: str) -> None:
    """Raise UserError where the snippet of a model's card prints something else than the card says."""
    said, promised = printed.strip().splitlines(), claimed.strip().splitlines()
    if len(said) != len(promised) or not all(map(_same_line, said, promised)):
        raise UserError(
            f"Verification failed: the snippet in the card of {model} prints\n{printed.strip()}\n"
            f"but the card says\n{claimed.strip()}"
        )


def predictions_match(recorded: Any, value: Any) -> bool:
    """Tell whether two predictions are one: words alike, scores within the tolerance."""
    if isinstance(recorded, list):
        return len(recorded) == len(value) and all(map(predictions_match, recorded, value))
    if isinstance(recorded, dict):
        return recorded.keys() == value.keys() and all(predictions_match(recorded[key], value[key]) for key in recorded)
    if isinstance(recorded, float):
        return bool(abs(recorded - value) <= SCORE_TOLERANCE)
    return bool(recorded == value)


def _compare(model: str, name: str, wanted: dict[str, Any], said: dict[str, Any]) -> None:
    for key, value in said.items():
        if not predictions_match(wanted[key], value):
            raise UserError(
                f"Verification failed: for row {name} evaluation recorded {key} {wanted[key]}, but "
                f"transformers.pipeline on {model} gives {value}. The folder is not what was scored."
            )


def _same_line(said: str, wanted: str) -> bool:
    """Tell whether two printed lines agree word by word, numbers to their last digit."""
    pairs = zip_longest(said.split(), wanted.split(), fillvalue="")
    return all(one == other or _near(one, other) for one, other in pairs)


def _near(one: str, other: str) -> bool:
    try:
        return abs(float(one) - float(other)) <= PRINTED_TOLERANCE
    except ValueError:
        return False
