"""A published recipe run again: which scores are compared, and what each comparison says; nothing is trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hfmm import reproduce as module
from hfmm.errors import UserError
from hfmm.reproduce import reproduce

RECIPE = """
name: tiny
task: image_classification
data: {builder: icons}
model: {checkpoint: builtin:tiny-vit}
stages: [{name: full, trainable: all, num_train_epochs: 1, learning_rate: 1.0e-3}]
metrics: [accuracy]
"""


def record(value: float, ci95: tuple[float, float] = (0.5, 0.9), weights: str = "tuned", **more: Any) -> dict[str, Any]:
    plain = {"metric": "accuracy", "group": "", "split": "test", "baseline": "", "n": 100}
    return plain | {"value": value, "ci95": list(ci95), "weights": weights} | more


def compared(
    monkeypatch: pytest.MonkeyPatch, folder: Path, published: list[dict[str, Any]], again: list[dict[str, Any]]
) -> tuple[list[str], str]:
    """Return the lines, and what is raised at their end."""

    class Run:
        def read_results(self) -> dict[str, Any]:
            return {"data": {"fingerprint": "f" * 64}, "records": again}

    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "results.json").write_text(json.dumps({"data": {"fingerprint": "f" * 64}, "records": published}))
    monkeypatch.setattr(module, "_download_run_record", lambda repo, revision: folder)
    monkeypatch.setattr(module, "run", lambda *_, **__: Run())
    lines: list[str] = []
    try:
        lines += reproduce("me/x", None, folder / "out", lambda step, text: None)
    except UserError as error:
        return lines, str(error)
    return lines, ""


def test_scores_before_training_are_compared_with_scores_before_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = record(0.85, (0.8, 0.9), "base", split="shapes test")
    after = record(0.07, (0.05, 0.1), split="shapes test")
    lines, error = compared(monkeypatch, tmp_path, [record(0.7), before, after], [record(0.7), before, after])
    assert error == ""
    assert "accuracy shapes test before training     0.8500 published, 0.8500 again: exactly" in lines
    assert "accuracy shapes test                     0.0700 published, 0.0700 again: exactly" in lines


def test_a_score_outside_its_interval_and_one_that_is_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    published = [record(0.7), record(0.8, group="tense"), record(0.6, group="person")]
    again = [record(0.4), record(0.81, group="tense")]

    def seen() -> tuple[str, str]:
        found, raised = compared(monkeypatch, tmp_path, published, again)
        return "\n".join(found), raised

    lines, error = seen()
    assert "0.7000 published, 0.4000 again: OUTSIDE its interval" in lines
    assert "0.8000 published, 0.8100 again: within its interval" in lines
    assert "0.6000 published, NOT SCORED again" in lines
    assert "me/x was not reproduced: accuracy, accuracy person came out outside" in error


def test_a_baseline_is_not_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines, error = compared(
        monkeypatch, tmp_path, [record(0.7), record(0.1, condition="colour histogram")], [record(0.7)]
    )
    assert error == "" and not [line for line in lines if "0.1000" in line]
