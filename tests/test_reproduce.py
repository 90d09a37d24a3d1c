"""Reproducing a published run: which scores are compared, and how the result is reported. Nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hfmm import reproduce as module
from hfmm.errors import UserError
from hfmm.reproduce import reproduce

RECIPE = """
format: 2
name: tiny
task: image_classification
data: {builder: icons}
model: {checkpoint: builtin:tiny-vit}
stages: [{name: full, trainable: all, num_train_epochs: 1, learning_rate: 1.0e-3}]
metrics: [accuracy]
"""


def record(
    value: float, ci95: tuple[float, float] = (0.5, 0.9), weights: str = "tuned", **fields: Any
) -> dict[str, Any]:
    defaults = {"metric": "accuracy", "slice": "", "split": "test", "baseline": "", "n": 100}
    return defaults | {"value": value, "ci95": list(ci95), "weights": weights} | fields


def compare(
    monkeypatch: pytest.MonkeyPatch, folder: Path, published: list[dict[str, Any]], reproduced: list[dict[str, Any]]
) -> tuple[list[str], str]:
    """Return the printed lines and the message of the error that follows them."""

    class Run:
        def read_results(self) -> dict[str, Any]:
            return {"data": {"fingerprint": "f" * 64}, "records": reproduced}

    (folder / "recipe.yaml").write_text(RECIPE)
    results = {"format": 2, "data": {"fingerprint": "f" * 64}, "records": published}
    (folder / "results.json").write_text(json.dumps(results))
    monkeypatch.setattr(module, "_download_run_record", lambda repo, revision: folder)
    monkeypatch.setattr(module, "run_recipe", lambda *_, **__: Run())
    lines: list[str] = []
    try:
        lines += reproduce("me/x", None, folder / "out", lambda step, text: None)
    except UserError as error:
        return lines, str(error)
    return lines, ""


def test_scores_before_and_after_training_are_compared_separately(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = record(0.85, (0.8, 0.9), "base", split="shapes test")
    after = record(0.07, (0.05, 0.1), split="shapes test")
    lines, error = compare(monkeypatch, tmp_path, [record(0.7), before, after], [record(0.7), before, after])
    assert error == ""
    assert "accuracy shapes test before training     0.8500 published, 0.8500 reproduced: equal" in lines
    assert "accuracy shapes test                     0.0700 published, 0.0700 reproduced: equal" in lines


def test_scores_outside_their_interval_or_missing_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    published = [record(0.7), record(0.8, slice="tense"), record(0.6, slice="person")]
    reproduced = [record(0.4), record(0.81, slice="tense")]
    lines, error = compare(monkeypatch, tmp_path, published, reproduced)
    output = "\n".join(lines)
    assert "0.7000 published, 0.4000 reproduced: OUTSIDE the interval" in output
    assert "0.8000 published, 0.8100 reproduced: inside the interval" in output
    assert "0.6000 published, NOT SCORED this time" in output
    assert "me/x was not reproduced: accuracy, accuracy person missing or outside" in error


def test_baselines_are_not_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines, error = compare(
        monkeypatch, tmp_path, [record(0.7), record(0.1, baseline="colour histogram")], [record(0.7)]
    )
    assert error == "" and not [line for line in lines if "0.1000" in line]
