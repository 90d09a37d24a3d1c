"""Load recipes: find the YAML file, resolve ``extends``, apply `--set` overrides, and record the line of each key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hfmm.assets import RECIPES
from hfmm.errors import UserError, did_you_mean
from hfmm.recipe.overrides import apply_override
from hfmm.recipe.schema import Recipe
from hfmm.recipe.validation import validate


def list_recipes() -> dict[str, Path]:
    """Return the paths of the recipes that come with hfmm, by name."""
    return {str(path.relative_to(RECIPES).with_suffix("")): path for path in sorted(RECIPES.rglob("*.yaml"))}


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Load and validate a recipe.

    Args:
        name: The name of a recipe that comes with hfmm, or the path of a YAML file.
        overrides: Values to change, such as ``data.seed=1`` or ``stages.head.num_train_epochs=2``.

    Returns:
        The resolved recipe.

    Raises:
        UserError: The recipe does not exist, or a key or value is invalid. The message names the file and line.

    Example:
        >>> load_recipe("vit_icons", ["data.train=100"]).data.options["train"]
        100
    """
    values, key_locations = _read(_find_recipe(name))
    for override in overrides:
        apply_override(values, key_locations, override)
    recipe = validate(Recipe, values, key_locations)
    recipe.key_locations.update(key_locations)
    return recipe


def _find_recipe(name: str) -> Path:
    recipes = list_recipes()
    if name in recipes:
        return recipes[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or "/" in name:
        raise UserError(f"The recipe file {name} does not exist. `hfmm list` shows the recipes that come with hfmm.")
    raise UserError(
        f"There is no recipe {name!r}.{did_you_mean(name, recipes)} Choices: {', '.join(recipes)}; or the path of a "
        "YAML file."
    )


def _read(path: Path, children: tuple[Path, ...] = ()) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of a recipe file and of those that it extends, and the location of each key."""
    if path in children:
        cycle = " -> ".join(file.name for file in (*children, path))
        raise UserError(f"{path.name}: `extends` forms a cycle: {cycle}.")
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a recipe: it must have keys such as name, task, data, model and stages.")
    key_locations = _key_locations(node, path.name)
    parent = values.pop("extends", None)
    if parent is None:
        return values, key_locations
    sibling = path.parent / f"{parent}.yaml"
    parent_path = sibling if sibling.is_file() else _find_recipe(str(parent))
    parent_values, parent_locations = _read(parent_path, (*children, path))
    return _merge(parent_values, values), parent_locations | key_locations


def _key_locations(node: yaml.Node | None, file: str, prefix: str = "") -> dict[str, str]:
    """Return "file, line N" for every dotted key below a node. Raises UserError for a duplicate key."""
    key_locations: dict[str, str] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            dotted = f"{prefix}{key.value}"
            line = f"{file}, line {key.start_mark.line + 1}"
            if dotted in key_locations:
                raise UserError(
                    f"{line}: duplicate key {dotted!r}, first set in {key_locations[dotted]}. Remove one of them."
                )
            key_locations[dotted] = line
            key_locations.update(_key_locations(value, file, f"{dotted}."))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            key_locations[f"{prefix}{index}"] = f"{file}, line {value.start_mark.line + 1}"
            key_locations.update(_key_locations(value, file, f"{prefix}{index}."))
    return key_locations


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` updated with ``change``: mappings are merged, all other values replaced.

    A section with another builder replaces the old section, because each builder has its own options.
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
