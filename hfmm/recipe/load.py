"""A recipe's YAML file: found by name or path, its ``extends`` resolved, changed by `--set`, every key's line known."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from hfmm.assets import RECIPES
from hfmm.errors import UserError
from hfmm.recipe.overrides import apply_override
from hfmm.recipe.schema import Recipe
from hfmm.recipe.validation import validate


def list_recipes() -> dict[str, Path]:
    """Return the recipes that come with hfmm, by the name `hfmm run` takes."""
    return {str(path.relative_to(RECIPES).with_suffix("")): path for path in sorted(RECIPES.rglob("*.yaml"))}


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or path, resolve its ``extends``, apply ``a.b=value`` overrides, check it.

    Raises UserError for an unknown recipe, key or value, naming file and line.
    """
    values, origins = _read(_locate(name))
    for override in overrides:
        apply_override(values, origins, override)
    recipe = validate(Recipe, values, origins)
    recipe.key_locations.update(origins)
    return recipe


def _locate(name: str) -> Path:
    known = list_recipes()
    if name in known:
        return known[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or "/" in name:
        raise UserError(f"There is no recipe file {name}. `hfmm list` shows the recipes that come with hfmm.")
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(
        f"There is no recipe {name!r}.{hint} Recipes here: {', '.join(known)}; or give the path of a YAML file."
    )


def _read(path: Path, seen: tuple[Path, ...] = ()) -> tuple[dict[str, Any], dict[str, str]]:
    if path in seen:
        raise UserError(f"{path.name}: `extends` goes in a circle: {' -> '.join(one.name for one in (*seen, path))}.")
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a recipe: it should hold keys such as name, task, data, model, stages.")
    origins = _key_locations(node, path.name)
    parent = values.pop("extends", None)
    if parent is None:
        return values, origins
    beside = path.parent / f"{parent}.yaml"
    inherited, inherited_origins = _read(beside if beside.is_file() else _locate(str(parent)), (*seen, path))
    return _merge(inherited, values), inherited_origins | origins


def _key_locations(node: yaml.Node | None, file: str, prefix: str = "") -> dict[str, str]:
    """Return "file, line N" for every dotted key below ``node``; raises UserError for a key written twice."""
    origins: dict[str, str] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            dotted = f"{prefix}{key.value}"
            line = f"{file}, line {key.start_mark.line + 1}"
            if dotted in origins:
                raise UserError(f"{line}: the key {dotted!r} stands twice, first in {origins[dotted]}.")
            origins[dotted] = line
            origins.update(_key_locations(value, file, f"{dotted}."))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            origins[f"{prefix}{index}"] = f"{file}, line {value.start_mark.line + 1}"
            origins.update(_key_locations(value, file, f"{prefix}{index}."))
    return origins


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``change`` laid over it; mappings merge, everything else is replaced.

    A part that names another builder starts afresh: the options of the old one mean nothing to it.
    """
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if (
            isinstance(value, dict)
            and isinstance(old, dict)
            and value.get("builder", old.get("builder")) == old.get("builder")
        ):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged
