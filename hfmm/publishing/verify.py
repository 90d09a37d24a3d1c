"""The proof before anything is called done: a fresh process without hfmm must say what evaluation recorded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hfmm.errors import UserError
from hfmm.evaluation import load_task
from hfmm.publishing import clean_room
from hfmm.publishing.fenced import fenced
from hfmm.recipe import Recipe
from hfmm.run_directory import RunDirectory
from hfmm.tasks import resolve

REPRODUCED = "{} predictions and the card's snippet reproduced in a clean process"  # told of what `verify` returns
SCORE_TOLERANCE = 1e-3
# The snippet prints two decimals and predicts one example alone, so its last digit may differ by one.
PRINTED_TOLERANCE = 0.011


def verify(recipe: Recipe, run: RunDirectory) -> int:
    """Return how many recorded predictions plain `transformers.pipeline` has reproduced from the run's folder.

    The same process runs the card's snippet, whose output must be what the card says. Raises
    UserError naming the first difference.
    """
    with clean_room.opened(clean_room.offline()) as room:
        return verify_in(room, recipe, run)


def verify_in(room: clean_room.Room, recipe: Recipe, run: RunDirectory) -> int:
    """Return the same of a clean room that was opened before there was anything to verify."""
    path = run.model / "README.md"
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    run.update_results(verified=None)  # what held of an earlier state of the folder says nothing of this one
    count = _prove(recipe, run, card, {"model": str(run.model.resolve())}, room)
    run.update_results(verified={"predictions": count, "snippet": True})
    return count


def verify_published(recipe: Recipe, run: RunDirectory, card: str, repo: str, branch: str, home: Path) -> int:
    """Return the same for a repository named by its id alone, through the cache in ``home``; raises UserError alike."""
    with clean_room.opened(clean_room.asking_the_hub(home)) as room:
        return _prove(recipe, run, card, clean_room.by_id(repo, branch), room)


def _prove(recipe: Recipe, run: RunDirectory, card: str, job: Mapping[str, Any], room: clean_room.Room) -> int:
    recorded = clean_room.stored(run)
    snippet, claimed = fenced(card, "python"), fenced(card, "text")
    if snippet is None or claimed is None:
        raise UserError(
            f"{run.model}/README.md has no snippet with its output. Write the card with `hfmm card {run.root}`."
        )
    model, task = load_task(run.model, *resolve(recipe))
    said = clean_room.ask(task, recorded, snippet, job, {recipe.name: run.model}, room)
    for row, wanted, output in zip(recorded, task.expected(model, recorded), said.outputs, strict=True):
        _compare(job["model"], row["id"], wanted, task.from_pipeline(output))
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


def same(recorded: Any, value: Any) -> bool:
    """Tell whether two predictions are one: words alike, scores within the tolerance."""
    if isinstance(recorded, list):
        return len(recorded) == len(value) and all(map(same, recorded, value))
    if isinstance(recorded, dict):
        return recorded.keys() == value.keys() and all(same(recorded[key], value[key]) for key in recorded)
    if isinstance(recorded, float):
        return bool(abs(recorded - value) <= SCORE_TOLERANCE)
    return bool(recorded == value)


def _compare(model: str, name: str, wanted: dict[str, Any], said: dict[str, Any]) -> None:
    for key, value in said.items():
        if not same(wanted[key], value):
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
