"""Verification: a fresh process without hfmm must reproduce what the evaluation recorded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hfmm.card.code_blocks import code_block
from hfmm.errors import UserError
from hfmm.evaluation.predict import SavedModel
from hfmm.plan import Plan
from hfmm.run_directory import RunDirectory
from hfmm.verify import process

VERIFIED = "{} predictions and the card's snippet reproduced in a clean process"
SCORE_TOLERANCE = 1e-3
# The snippet prints two decimals and predicts one example alone, so its last digit may differ by one.
PRINTED_TOLERANCE = 0.011


def verify(plan: Plan, run: RunDirectory, saved: SavedModel) -> int:
    """Verify the model folder of a run in a fresh process.

    Args:
        plan: The plan of the run.
        run: The run directory.
        saved: The saved model, its task and its recorded predictions.

    Returns:
        How many recorded predictions plain `transformers.pipeline` has reproduced. The same process runs the card's
        snippet, which must print what the card says.

    Raises:
        UserError: The first difference.
    """
    with process.fresh_python(process.offline_env()) as python:
        return verify_with(python, plan, run, saved)


def verify_with(python: process.PythonProcess, plan: Plan, run: RunDirectory, saved: SavedModel) -> int:
    """Verify like `verify`, in a process that was started earlier."""
    path = run.model / "README.md"
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    run.update_results(verified=None)  # a verification of an earlier state of the folder does not count
    count = _verify(python, plan, run, saved, card, {"model": str(run.model.resolve())})
    run.update_results(verified={"predictions": count, "snippet": True})
    return count


def verify_published(
    plan: Plan, run: RunDirectory, saved: SavedModel, card: str, repo: str, branch: str, home: Path
) -> int:
    """Verify like `verify` a repository that is loaded by its id, through a new cache in ``home``."""
    with process.fresh_python(process.online_env(home)) as python:
        return _verify(python, plan, run, saved, card, process.job_for_repo(repo, branch))


def _verify(
    python: process.PythonProcess,
    plan: Plan,
    run: RunDirectory,
    saved: SavedModel,
    card: str,
    job: Mapping[str, Any],
) -> int:
    recorded = process.rows_with_inputs(saved.predictions)
    snippet, claimed_output = code_block(card, "python"), code_block(card, "text")
    if snippet is None or claimed_output is None:
        raise UserError(
            f"{run.model}/README.md has no snippet with its output. Write the card with `hfmm card {run.root}`."
        )
    output = process.run_pipeline(saved.task, recorded, snippet, job, {plan.recipe.name: run.model}, python)
    expected_outputs = saved.task.expected_pipeline_output(saved.model, recorded)
    for row, expected, row_output in zip(recorded, expected_outputs, output.outputs, strict=True):
        _compare(job["model"], row["id"], expected, saved.task.parse_pipeline_output(row_output))
    compare_printed(job["model"], output.printed, claimed_output)
    return len(recorded)


def compare_printed(model: str, printed: str, claimed: str) -> None:
    """Raise UserError if the snippet of a model's card prints something different from what the card says."""
    printed_lines, claimed_lines = printed.strip().splitlines(), claimed.strip().splitlines()
    if len(printed_lines) != len(claimed_lines) or not all(map(_lines_match, printed_lines, claimed_lines)):
        raise UserError(
            f"Verification failed: the snippet in the card of {model} prints\n{printed.strip()}\n"
            f"but the card says\n{claimed.strip()}"
        )


def predictions_match(recorded: Any, value: Any) -> bool:
    """Tell whether two predictions are equal, scores within the tolerance."""
    if isinstance(recorded, list):
        return len(recorded) == len(value) and all(map(predictions_match, recorded, value))
    if isinstance(recorded, dict):
        return recorded.keys() == value.keys() and all(predictions_match(recorded[key], value[key]) for key in recorded)
    if isinstance(recorded, float):
        return bool(abs(recorded - value) <= SCORE_TOLERANCE)
    return bool(recorded == value)


def _compare(model: str, row_id: str, expected: dict[str, Any], prediction: dict[str, Any]) -> None:
    for key, value in prediction.items():
        if not predictions_match(expected[key], value):
            raise UserError(
                f"Verification failed: for row {row_id} evaluation recorded {key} {expected[key]}, but "
                f"transformers.pipeline on {model} gives {value}. The folder is not what was scored."
            )


def _lines_match(printed: str, claimed: str) -> bool:
    """Tell whether two printed lines agree word by word, numbers up to their last digit."""
    pairs = zip_longest(printed.split(), claimed.split(), fillvalue="")
    return all(word == other or _numbers_match(word, other) for word, other in pairs)


def _numbers_match(number: str, other: str) -> bool:
    try:
        return abs(float(number) - float(other)) <= PRINTED_TOLERANCE
    except ValueError:
        return False
