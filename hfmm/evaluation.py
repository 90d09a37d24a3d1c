"""A saved model directory -> predictions -> metrics -> results.json; the score belongs to what is on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetDict
from huggingface_hub import ModelCard

from hfmm import forgetting, hardware, metrics, models, parts, tasks
from hfmm.errors import UserError
from hfmm.metrics.bootstrap import interval, interval_of
from hfmm.models.checkpoint import of_a_run
from hfmm.progress import track
from hfmm.recipe import Recipe
from hfmm.run_directory import RunDirectory, atomic_file
from hfmm.tasks import BATCH_SIZE, TaskProtocol, for_pipeline_tag, resolve

EXAMPLES = 32  # rows whose input is stored for verify
MISTAKES = 24  # misclassified rows whose input is stored for the card


def load_task(
    directory: Path, task_class: type[TaskProtocol] | None = None, options: Any = None, dtype: str = "auto"
) -> tuple[Any, TaskProtocol]:
    """Return (model, task) for a saved model; the task is found by the card's pipeline tag unless given.

    ``auto`` is the dtype it was saved in.
    Raises UserError when the folder holds no model or no card that names its task.
    """
    if not (directory / "config.json").is_file():
        raise UserError(f"{directory} holds no model: config.json is missing.{of_a_run(directory)}")
    if task_class is None:
        card = directory / "README.md"
        tag = ModelCard.load(card).data.pipeline_tag if card.is_file() else None
        if not tag:
            raise UserError(f"{directory} has no README.md with a pipeline_tag, so its task is unknown.")
        task_class = for_pipeline_tag(tag)
    model, processor = models.reload(str(directory), dtype)
    model.eval()
    return model, task_class(model.config, processor, options or task_class.Options())


def predict_files(
    directory: Path,
    paths: Sequence[str],
    texts: Sequence[str] = (),
    precision: Literal["auto", "bf16", "fp32"] = "auto",
) -> list[str]:
    """Return a JSON line with the prediction for each file, or for each text asked about it.

    It computes in bf16 where the hardware is fast at it, or in the precision given.
    Raises UserError for a file that cannot be read, and for texts that are missing or that nobody reads.
    """
    model, task = load_task(directory, dtype=hardware.inference_dtype(precision))
    if task.texts and not texts:
        example = " ".join(f'--text "{text}"' for text in task.texts)
        raise UserError(f"This model is given texts beside each file, for example {example}.")
    if texts and not task.texts:
        raise UserError("This model is given files alone and reads no --text.")
    for path in paths:
        if not Path(path).is_file():
            raise UserError(f"{path} does not exist.")
    rows = [row for path in paths for row in task.rows_from_file(path, texts)]
    answers = task.answer(model, list(task.predict(model, rows, BATCH_SIZE)), texts)
    return [json.dumps({"file": row["id"], **one}, ensure_ascii=False) for row, one in zip(rows, answers, strict=True)]


def evaluate(recipe: Recipe, run: RunDirectory, data: DatasetDict) -> None:
    """Score the saved model on the test split, run the probes, write predictions.parquet and the records.

    Raises UserError where a dataset of `elsewhere` cannot be scored, or is another than the run was scored on.
    """
    test = data["test"]
    model, task = load_task(run.model, *resolve(recipe))
    predictions = list(track(task.predict(model, test, BATCH_SIZE), "predict test", len(test)))
    references = tasks.references(task, test)
    groups = [str(group) for group in test["group"][:]]
    weights = "tuned" if recipe.model.init == "pretrained" else "random"
    records = _records(recipe, task.for_metrics(predictions), references, groups, weights, "")
    for name in recipe.probes:
        probe = parts.find("probes", name, "CONDITION", "probes")
        records += _records(
            recipe,
            task.for_metrics(probe.predict(recipe, task, model, data)),
            references,
            groups,
            getattr(probe, "WEIGHTS", ""),
            probe.CONDITION,
        )
    elsewhere: dict[str, Any] = {}
    scored_before = run.read_results().get("elsewhere", {})
    for other in forgetting.predict(recipe, task, model, data["train"].features, run.checkpoints / "data"):
        if scored_before.get(other.name, {}).get("fingerprint", other.fingerprint) != other.fingerprint:
            raise UserError(
                f"The dataset {other.name} of `elsewhere` has changed since {run.root} was scored, so its scores would "
                "be those of other rows. Restore it, or start a new run with another --out."
            )
        elsewhere[other.name] = {
            "fingerprint": other.fingerprint,
            "rows": len(other.rows),
            "skipped": [one._asdict() for one in other.skipped],
        }
        answers = tasks.references(task, other.rows)
        others = [str(group) for group in other.rows["group"][:]]
        scored = _records(recipe, task.for_metrics(other.predictions), answers, others, other.weights, "")
        records += [one | {"split": f"{other.name} test"} for one in scored if not one["group"]]
    _write_predictions(run.predictions, task, test, predictions, references, groups)
    run.update_results(recipe=recipe.name, task=recipe.task.name, records=records, elsewhere=elsewhere)


def _records(
    recipe: Recipe, predictions: Any, references: list[Any], groups: list[str], weights: str, condition: str
) -> list[dict[str, Any]]:
    """Return a record, with its interval, for every slice and every functional of every metric."""
    records = []
    for name in recipe.metrics:
        metric = parts.find("metrics", name, "statistics", "metrics")
        if not weights and getattr(metric, "OF_WEIGHTS", False):
            continue
        slices, functionals = metrics.measure(name, predictions, references)
        scores = {
            group: (float(tops.sum() / bottoms.sum()), interval(tops, bottoms, groups, recipe.seed), int(bottoms.sum()))
            for group, (tops, bottoms) in slices.items()
        }
        everything = np.ones(len(references))
        scores |= {
            group: (function(everything), interval_of(function, groups, recipe.seed), len(references))
            for group, function in functionals.items()
        }
        records += [
            {
                "metric": name,
                "value": value,
                "ci95": list(bounds),
                "n": count,
                "split": "test",
                "weights": weights,
                "condition": condition,
                "group": group,
            }
            for group, (value, bounds, count) in scores.items()
        ]
    return records


def _write_predictions(
    path: Path,
    task: TaskProtocol,
    rows: Any,
    predictions: Sequence[dict[str, Any]],
    references: list[Any],
    groups: list[str],
) -> None:
    """Write one line a row; the input itself only for the rows that verify and the card show."""
    wrong = task.wrong(predictions, references)
    shown = {*range(min(EXAMPLES, len(rows))), *[index for index, is_wrong in enumerate(wrong) if is_wrong][:MISTAKES]}
    columns: dict[str, list[Any]] = {
        "id": [str(one) for one in rows["id"][:]],
        "group": groups,
        "reference": references,
        "wrong": wrong,
        **{key: [one[key] for one in predictions] for key in predictions[0]},
        "input": [task.to_stored(rows[index]) if index in shown else None for index in range(len(rows))],
    }
    with atomic_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_predictions(run: RunDirectory) -> list[dict[str, Any]]:
    """Return the rows of predictions.parquet; raises UserError for a run that did not get so far."""
    if not run.predictions.is_file():
        raise UserError(
            f"{run.root} has no predictions.parquet, so its training was not finished. Go on with "
            f"`hfmm run {run.recipe} --resume --out {run.root}`."
        )
    rows: list[dict[str, Any]] = pq.read_table(run.predictions).to_pylist()
    return rows


def headline(run: RunDirectory) -> dict[str, Any]:
    """Return the record of the primary metric."""
    record: dict[str, Any] = next(
        one for one in run.read_results()["records"] if not one["condition"] and not one["group"]
    )
    return record
