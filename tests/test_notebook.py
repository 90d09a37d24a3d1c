"""The notebook in recipes/ runs from top to bottom in an empty folder."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parent.parent / "recipes" / "first_hour.ipynb"


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell as a notebook does: the value of its last expression is its output."""
    tree = ast.parse(source)
    statements, last = tree.body[:-1], tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), namespace)
        return None
    exec(compile(ast.Module(statements, []), "cell", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    outputs = [run_cell(source, namespace) for source in code_cells()]
    assert outputs[1] == {"train": 43, "validation": 5, "test": 12}
    scores = {(metric, baseline): value for metric, _, baseline, value in outputs[4] if metric == "accuracy"}
    assert scores["accuracy", ""] > 0.5
    assert "confusion.png" in outputs[5]
    assert {guess["label"] for guess in outputs[7]} == {"circle", "square"}
    assert 0.5 < outputs[8] <= 1


def test_the_notebook_has_no_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs")]
