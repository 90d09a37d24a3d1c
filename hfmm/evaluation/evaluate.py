"""A saved model directory -> predictions -> metrics -> results.json; the score belongs to what is on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetDict

from hfmm import metrics, registry, tasks
from hfmm.errors import UserError
from hfmm.evaluation import forgetting
from hfmm.evaluation.bootstrap import bootstrap_ci, bootstrap_ci_of_score
from hfmm.evaluation.predict import load_model_and_task
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory
from hfmm.tasks import BATCH_SIZE, BaseTask, resolve
from hfmm.utils.files import atomic_file
from hfmm.utils.progress import progress_bar

N_STORED_INPUTS = 32  # rows whose input is stored for verify
N_STORED_MISTAKES = 24  # misclassified rows whose input is stored for the card


def evaluate(recipe: Recipe, run: RunDirectory, data: DatasetDict) -> None:
    """Score the saved model on the test split, run the probes, write predictions.parquet and the records.

    Raises UserError where a dataset of `forgetting` cannot be scored, or is another than the run was scored on.
    """
    test = data["test"]
    model, task = load_model_and_task(run.model, *resolve(recipe))
    predictions = list(progress_bar(task.predict(model, test, BATCH_SIZE), "predict test", len(test)))
    references = tasks.references(task, test)
    groups = [str(group) for group in test["group"][:]]
    weights = "tuned" if recipe.model.init == "pretrained" else "random"
    records = _score_records(recipe, task.metric_inputs(predictions), references, groups, weights, "")
    for name in recipe.baselines:
        probe = registry.get("baselines", name)
        records += _score_records(
            recipe,
            task.metric_inputs(probe.predict(recipe, task, model, data)),
            references,
            groups,
            getattr(probe, "WEIGHTS", ""),
            probe.NAME,
        )
    forgotten: dict[str, Any] = {}
    scored_before = run.read_results().get("forgetting", {})
    for other in forgetting.predict_before_and_after(
        recipe, task, model, data["train"].features, run.checkpoints / "data"
    ):
        if scored_before.get(other.name, {}).get("fingerprint", other.fingerprint) != other.fingerprint:
            raise UserError(
                f"The dataset {other.name} of `forgetting` has changed since {run.root} was scored, so its scores would "
                "be those of other rows. Restore it, or start a new run with another --out."
            )
        forgotten[other.name] = {
            "fingerprint": other.fingerprint,
            "rows": len(other.rows),
            "skipped": [one._asdict() for one in other.skipped],
        }
        answers = tasks.references(task, other.rows)
        others = [str(group) for group in other.rows["group"][:]]
        scored = _score_records(recipe, task.metric_inputs(other.predictions), answers, others, other.weights, "")
        records += [one | {"split": f"{other.name} test"} for one in scored if not one["slice"]]
    _write_predictions(run.predictions, task, test, predictions, references, groups)
    run.update_results(recipe=recipe.name, task=recipe.task.name, records=records, forgetting=forgotten)


def _score_records(
    recipe: Recipe, predictions: Any, references: list[Any], groups: list[str], weights: str, condition: str
) -> list[dict[str, Any]]:
    """Return a record, with its interval, for every slice and every functional of every metric."""
    records = []
    for name in recipe.metrics:
        metric = registry.get("metrics", name)
        if not weights and getattr(metric, "NEEDS_MODEL", False):
            continue
        slices, functionals = metrics.compute(name, predictions, references)
        scores = {
            group: (
                float(tops.sum() / bottoms.sum()),
                bootstrap_ci(tops, bottoms, groups, recipe.seed),
                int(bottoms.sum()),
            )
            for group, (tops, bottoms) in slices.items()
        }
        everything = np.ones(len(references))
        scores |= {
            group: (function(everything), bootstrap_ci_of_score(function, groups, recipe.seed), len(references))
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
                "baseline": condition,
                "slice": group,
            }
            for group, (value, bounds, count) in scores.items()
        ]
    return records


def _write_predictions(
    path: Path,
    task: BaseTask,
    rows: Any,
    predictions: Sequence[dict[str, Any]],
    references: list[Any],
    groups: list[str],
) -> None:
    """Write one line a row; the input itself only for the rows that verify and the card show."""
    wrong = task.is_wrong(predictions, references)
    shown = {
        *range(min(N_STORED_INPUTS, len(rows))),
        *[index for index, is_wrong in enumerate(wrong) if is_wrong][:N_STORED_MISTAKES],
    }
    columns: dict[str, list[Any]] = {
        "id": [str(one) for one in rows["id"][:]],
        "group": groups,
        "reference": references,
        "wrong": wrong,
        **{key: [one[key] for one in predictions] for key in predictions[0]},
        "input": [task.input_to_bytes(rows[index]) if index in shown else None for index in range(len(rows))],
    }
    with atomic_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
