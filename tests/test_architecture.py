"""The structure of the package: import layers, file lengths, registry folders, and what importing loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hfmm
from hfmm import registry

PACKAGE = Path(hfmm.__file__).parent

# The first level of the package, lowest layer first. A part may import from itself and from the layers above its line.
LAYERS = [
    {"errors", "utils", "grammar", "assets"},
    {"registry"},
    {"recipe", "metrics"},
    {"run_directory", "data"},
    {"models"},
    {"tasks"},
    {"plan"},
    {"training", "evaluation", "baselines"},
    {"card"},
    {"verify", "inspection"},
    {"hub", "run"},
    {"reproduce", "api"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Arrows between two parts of one layer; any other would be a circle waiting to close.
BESIDE = {("utils", "errors"), ("assets", "errors")}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if "assets" not in path.relative_to(PACKAGE).parts[:-1])


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hfmm":
            names = node.module.split(".")
            parts |= {names[1]} if len(names) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            parts |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("hfmm.")}
    return parts


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_to_lower_layers_only(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__",):
        return
    assert part in LEVEL, f"{part} has no layer: add it to LAYERS"
    for other in imported_parts(path) - {part}:
        allowed = LEVEL[other] < LEVEL[part] or (part, other) in BESIDE
        assert allowed, f"{path.name} imports {other}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_longer_than_260_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 260


@pytest.mark.parametrize("part", ["data", "models", "tasks", "metrics", "baselines"])
def test_registry_modules_import_no_torch_at_the_top(part: str) -> None:
    for path in (PACKAGE / part).rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"torch", "transformers", "peft", "accelerate"}, path


def test_no_file_above_the_tasks_names_a_task_or_a_family() -> None:
    names = {path.stem for part in ("tasks", "models") for path in (PACKAGE / part).glob("[!_]*.py")} - {"base"}
    for path in FILES:
        if LEVEL.get(part_of(path), 0) > LEVEL["tasks"]:
            literals = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not names & {literal for literal in literals if isinstance(literal, str)}, path


def test_a_registry_folder_holds_members_only() -> None:
    for kind in registry.REQUIRED_NAMES:
        modules = {path.stem for path in (PACKAGE / kind).glob("[!_]*.py")} - {"base"}
        assert modules == set(registry.available(kind)), kind


def test_the_first_level_is_the_table_of_contents_of_a_run() -> None:
    entries = [path for path in PACKAGE.iterdir() if not path.name.startswith("__") and path.suffix != ".md"]
    assert len(entries) <= 24, sorted(path.name for path in entries)


def test_the_trainer_subclass_stays_thin() -> None:
    assert len((PACKAGE / "training" / "trainer.py").read_text().splitlines()) < 80


@pytest.mark.parametrize("command", ["import hfmm", "import hfmm.cli.main, hfmm.recipe.load, hfmm.grammar"])
def test_import_loads_no_torch(command: str) -> None:
    code = (
        f"{command}; import sys; print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
