"""The folder is the registry: a builder, family, task, metric or probe is a module, found by its exact name."""

from __future__ import annotations

import ast
import importlib
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from hfmm.errors import UserError


def find(package: str, name: str, face: str, key: str) -> ModuleType:
    """Return the module ``name`` of ``hfmm.<package>``, or the user's own at a dotted path.

    ``face`` is the attribute that makes a module such a part; ``key`` is the recipe key that named
    it, for the message. Raises UserError with the choices when there is no such part.
    """
    if name.startswith("."):
        raise UserError(f"{key}: {name!r} is no dotted path. Name a part of your own as Python imports it: mine.part.")
    own = "." in name
    dotted = name if own else f"hfmm.{package}.{name}"
    try:
        module = importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{dotted}.".startswith(f"{error.name}."):
            raise UserError(
                f"{key}: {name!r} needs the package {error.name!r}, which is not installed: pip install {error.name}."
            ) from error
        module = None
    if module is not None and hasattr(module, face):
        return module
    if own:
        raise UserError(f"{key}: no module {name!r} with a {face!r} can be imported.")
    choices = names(package, face)
    close = get_close_matches(name, choices, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(f"{key}: there is no {name!r}.{hint} Choices: {', '.join(choices)}; or a dotted path of your own.")


def modules(package: str, face: str) -> dict[str, ModuleType]:
    """Return every module of ``hfmm.<package>`` that has the attribute ``face``, by name."""
    return {name: importlib.import_module(f"hfmm.{package}.{name}") for name in names(package, face)}


def names(package: str, face: str) -> list[str]:
    """Return the names of those modules; their source is read and not run, because running it may load torch."""
    folder = Path(__file__).parent / package
    return sorted(path.stem for path in folder.glob("[!_]*.py") if face in _top_level_names(path))


def _top_level_names(path: Path) -> set[str]:
    found = set()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Assign):
            found |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return found
