"""Evaluation: the saved model predicts the test split, and every metric gets a score with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict

from hfmm import metrics
from hfmm.errors import UserError
from hfmm.evaluation.bootstrap import bootstrap_ci, bootstrap_ci_of_score
from hfmm.evaluation.forgetting import predict_before_and_after
from hfmm.evaluation.predict import SavedModel, load_model, predict_rows
from hfmm.plan import Plan
from hfmm.run_directory import RunDirectory, read_predictions
from hfmm.tasks import BaseTask, Prediction, collect_references
from hfmm.utils.files import atomic_file

N_STORED_INPUTS = 32  # rows whose input is stored for verification
N_STORED_MISTAKES = 24  # wrong rows whose input is stored for the card

Records = list[dict[str, Any]]


def evaluate(plan: Plan, run: RunDirectory, data: DatasetDict) -> SavedModel:
    """Score the saved model on the test split, score the baselines, and write predictions.parquet and the records.

    Args:
        plan: The plan of the run.
        run: The run directory. The model is loaded from it, so that the score belongs to the weights on disk.
        data: The splits of the dataset.

    Returns:
        The model, its task and the recorded predictions, for the card and the verification.

    Raises:
        UserError: A dataset of ``forgetting`` could not be scored, or has changed since the run was scored.
    """
    test = data["test"]
    model, processor = load_model(run.model)
    task = plan.make_task(model, processor)
    predictions = predict_rows(task, model, test, "predict test")
    references = collect_references(task, test, plan.metrics.values())
    groups = _group_names(test)
    weights = "tuned" if plan.recipe.model.init == "pretrained" else "random"
    seed = plan.recipe.seed
    records = score_records(plan.metrics, task.metric_inputs(predictions), references, groups, seed, weights)
    for baseline in plan.baselines.values():
        baseline_inputs = task.metric_inputs(baseline.predict(plan, task, model, data))
        baseline_weights = getattr(baseline, "WEIGHTS", "")
        records += score_records(
            plan.metrics, baseline_inputs, references, groups, seed, baseline_weights, baseline.NAME
        )
    forgetting_records, forgetting = _score_forgetting(plan, run, task, model, data)
    _write_predictions(run.predictions, task, test, predictions, references, groups)
    run.update_results(
        recipe=plan.recipe.name,
        task=plan.recipe.task.name,
        records=records + forgetting_records,
        forgetting=forgetting,
    )
    return SavedModel(model, task, read_predictions(run))


def score_rows(
    task: BaseTask,
    metric_modules: Mapping[str, ModuleType],
    rows: Dataset,
    predictions: Sequence[Prediction],
    seed: int,
    weights: str,
) -> Records:
    """Return the records of `score_records` for the predictions of a dataset."""
    references = collect_references(task, rows, metric_modules.values())
    metric_inputs = task.metric_inputs(predictions)
    return score_records(metric_modules, metric_inputs, references, _group_names(rows), seed, weights)


def score_records(
    metric_modules: Mapping[str, ModuleType],
    metric_inputs: Any,
    references: list[Any],
    groups: list[str],
    seed: int,
    weights: str,
    baseline: str = "",
) -> Records:
    """Return a record, with its 95 % interval, for every slice and every weighted score of every metric.

    Args:
        metric_modules: The metrics, by name.
        metric_inputs: The predictions of all rows, as `BaseTask.metric_inputs` returns them.
        references: The reference of each row.
        groups: The group of each row; the interval resamples groups.
        seed: The seed of the resampling.
        weights: Which weights predicted: ``tuned``, ``base`` or ``random``; empty for a baseline without a model.
        baseline: The name of the baseline; empty for the model itself.
    """
    records = []
    for name, module in metric_modules.items():
        if not weights and getattr(module, "NEEDS_MODEL", False):
            continue
        slices, weighted_scores = metrics.compute(name, metric_inputs, references)
        scores = {
            slice_name: (
                float(numerators.sum() / denominators.sum()),
                bootstrap_ci(numerators, denominators, groups, seed),
                int(denominators.sum()),
            )
            for slice_name, (numerators, denominators) in slices.items()
        }
        ones = np.ones(len(references))
        scores |= {
            slice_name: (score(ones), bootstrap_ci_of_score(score, groups, seed), len(references))
            for slice_name, score in weighted_scores.items()
        }
        records += [
            {
                "metric": name,
                "value": value,
                "ci95": list(interval),
                "n": count,
                "split": "test",
                "weights": weights,
                "baseline": baseline,
                "slice": slice_name,
            }
            for slice_name, (value, interval, count) in scores.items()
        ]
    return records


def _score_forgetting(
    plan: Plan, run: RunDirectory, task: BaseTask, model: Any, data: DatasetDict
) -> tuple[Records, dict[str, Any]]:
    """Return the records of the datasets of ``forgetting``, before and after training, and what identifies them."""
    records: Records = []
    datasets: dict[str, Any] = {}
    scored_before = run.read_results().get("forgetting", {})
    for other in predict_before_and_after(plan, task, model, data["train"].features, run.checkpoints / "data"):
        if scored_before.get(other.name, {}).get("fingerprint", other.fingerprint) != other.fingerprint:
            raise UserError(
                f"The dataset {other.name} of `forgetting` has changed since {run.root} was scored, so its "
                "scores would be those of other rows. Restore it, or start a new run with another --out."
            )
        datasets[other.name] = {
            "fingerprint": other.fingerprint,
            "rows": len(other.rows),
            "skipped": [row._asdict() for row in other.invalid_rows],
        }
        scored = score_rows(task, plan.metrics, other.rows, other.predictions, plan.recipe.seed, other.weights)
        records += [record | {"split": f"{other.name} test"} for record in scored if not record["slice"]]
    return records, datasets


def _group_names(rows: Any) -> list[str]:
    return [str(group) for group in rows["group"][:]]


def _write_predictions(
    path: Path,
    task: BaseTask,
    rows: Any,
    predictions: Sequence[dict[str, Any]],
    references: list[Any],
    groups: list[str],
) -> None:
    """Write one line a row. The input is stored only for the rows that the verification and the card need."""
    wrong = task.mark_wrong(predictions, references)
    wrong_indices = [index for index, is_wrong in enumerate(wrong) if is_wrong]
    stored = {*range(min(N_STORED_INPUTS, len(rows))), *wrong_indices[:N_STORED_MISTAKES]}
    columns: dict[str, list[Any]] = {
        "id": [str(row_id) for row_id in rows["id"][:]],
        "group": groups,
        "reference": references,
        "wrong": wrong,
        **{key: [prediction[key] for prediction in predictions] for key in predictions[0]},
        "input": [task.input.to_bytes(rows[index]) if index in stored else None for index in range(len(rows))],
    }
    with atomic_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
