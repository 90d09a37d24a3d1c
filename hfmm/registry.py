"""The registry: a folder of hfmm/ holds one part a file, and a part is found by the name of its file.

A part of the user's own is a module anywhere on Python's path, named by its dotted path.
"""

from __future__ import annotations

import ast
import importlib
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Literal

from hfmm.errors import UserError

Kind = Literal["data", "models", "tasks", "metrics", "baselines"]

# The names that every module of a folder defines; the first marks a module as a member.
REQUIRED_NAMES: dict[Kind, tuple[str, ...]] = {
    "data": ("build", "OPTIONS"),
    "models": ("FAMILY",),
    "tasks": ("TASK",),
    "metrics": ("row_statistics", "GREATER_IS_BETTER"),
    "baselines": ("NAME", "predict"),
}


def get(kind: Kind, name: str, key: str | None = None) -> ModuleType:
    """Return the module of a part: a built-in one by its name, or the user's own by its dotted path.

    Args:
        kind: The folder of hfmm/ that the part belongs to.
        name: The name of a built-in part, or a dotted path such as ``mine.accuracy``.
        key: The recipe key that named the part, for the error message.

    Returns:
        The imported module.

    Raises:
        UserError: There is no such part, or it lacks a name that its kind requires.
    """
    key = key or kind
    if name.startswith("."):
        raise UserError(f"{key}: {name!r} is no dotted path. Name a part of your own as Python imports it: mine.part.")
    is_user_part = "." in name
    dotted_path = name if is_user_part else f"hfmm.{kind}.{name}"
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
    if is_user_part:
        raise UserError(f"{key}: no module {name!r} with a {missing[0]!r} can be imported.")
    choices = available(kind)
    close = get_close_matches(name, choices, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(f"{key}: there is no {name!r}.{hint} Choices: {', '.join(choices)}; or a dotted path of your own.")


def load_all(kind: Kind) -> dict[str, ModuleType]:
    """Return every built-in part of a kind, by name."""
    return {name: importlib.import_module(f"hfmm.{kind}.{name}") for name in available(kind)}


def available(kind: Kind) -> list[str]:
    """Return the names of the built-in parts; their source is read and not run, because running it may load torch."""
    folder = Path(__file__).parent / kind
    mark = REQUIRED_NAMES[kind][0]
    return sorted(path.stem for path in folder.glob("[!_]*.py") if mark in _top_level_names(path))


def _top_level_names(path: Path) -> set[str]:
    names = set()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return names
