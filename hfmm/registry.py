"""The registry: datasets, models, tasks, metrics and baselines are modules, found by their file name.

A user's own component is any importable module, given by its dotted path.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType
from typing import Literal

from hfmm.errors import UserError, did_you_mean

Kind = Literal["data", "models", "tasks", "metrics", "baselines"]

# The names that every module of a folder must define. A module that defines the first one belongs to the registry.
REQUIRED_NAMES: dict[Kind, tuple[str, ...]] = {
    "data": ("build", "OPTIONS"),
    "models": ("FAMILY",),
    "tasks": ("TASK",),
    "metrics": ("row_statistics", "GREATER_IS_BETTER"),
    "baselines": ("NAME", "predict"),
}


def get(kind: Kind, name: str, key: str | None = None) -> ModuleType:
    """Return a component's module: a built-in one by its name, or the user's own by its dotted path.

    Args:
        kind: The folder of hfmm/ that the component belongs to.
        name: The name of a built-in component, or a dotted path such as ``mine.accuracy``.
        key: The recipe key that names the component, for error messages.

    Returns:
        The imported module.

    Raises:
        UserError: The component does not exist, or it does not define a name that its kind requires.
    """
    key = key or kind
    if name.startswith("."):
        raise UserError(
            f"{key}: {name!r} is not a dotted path. Write your own module as Python imports it: package.module."
        )
    is_user_module = "." in name
    dotted_path = name if is_user_module else f"hfmm.{kind}.{name}"
    try:
        module = importlib.import_module(dotted_path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{dotted_path}.".startswith(f"{error.name}."):
            raise UserError(
                f"{key}: {name!r} needs the package {error.name!r}, which is not installed: pip install {error.name}."
            ) from error
        module = None
    missing = [required for required in REQUIRED_NAMES[kind] if not hasattr(module, required)]
    if module is not None and not missing:
        return module
    if is_user_module:
        raise UserError(f"{key}: the module {name!r} could not be imported, or it does not define {missing[0]!r}.")
    choices = available(kind)
    raise UserError(
        f"{key}: there is no {name!r}.{did_you_mean(name, choices)} Choices: {', '.join(choices)}; or the dotted path "
        "of your own module."
    )


def load_all(kind: Kind) -> dict[str, ModuleType]:
    """Return the modules of all built-in components of a kind, by name."""
    return {name: importlib.import_module(f"hfmm.{kind}.{name}") for name in available(kind)}


def available(kind: Kind) -> list[str]:
    """Return the names of the built-in components. Modules are parsed, not imported, because that may load torch."""
    folder = Path(__file__).parent / kind
    marker = REQUIRED_NAMES[kind][0]
    return sorted(path.stem for path in folder.glob("[!_]*.py") if marker in _top_level_names(path))


def _top_level_names(path: Path) -> set[str]:
    names = set()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return names
