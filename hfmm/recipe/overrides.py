"""Override nested settings from the command line: `--set a.b=value`."""

from __future__ import annotations

from typing import Any

import yaml

from hfmm.errors import UserError


def apply_override(values: dict[str, Any], key_locations: dict[str, str], override: str) -> None:
    """Set ``a.b=value`` in nested ``values``, and record in ``key_locations`` that it comes from the command line.

    The value is parsed as YAML. List items are given by index or by name, as in ``stages.head.num_train_epochs=2``.
    Raises UserError if there is no equals sign or the key does not exist.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: write it as key=value, for example --set model.checkpoint=my/model.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    parts = key.split(".")
    container: Any = values
    path: list[str] = []
    for part in parts[:-1]:
        container, resolved = _descend(container, part, override)
        path.append(resolved)
    if isinstance(container, list):
        container[int(_index(container, parts[-1], override))] = value
        path.append(_index(container, parts[-1], override))
    elif isinstance(container, dict):
        if parts[-1] == "builder" and container.get("builder") != value:
            container.clear()
        container[parts[-1]] = value
        path.append(parts[-1])
    else:
        raise UserError(f"--set {override}: {'.'.join(parts[:-1])!r} is a single value and has no keys.")
    key_locations[".".join(path)] = f"--set {override}"


def _descend(container: Any, part: str, override: str) -> tuple[Any, str]:
    """Return the child of a list or mapping, and its key; list items given by name get their index as key."""
    if isinstance(container, list):
        index = _index(container, part, override)
        return container[int(index)], index
    if isinstance(container, dict):
        return container.setdefault(part, {}), part
    raise UserError(f"--set {override}: the parent of {part!r} is a single value and has no keys.")


def _index(items: list[Any], part: str, override: str) -> str:
    """Return the index of a list item that is given by its index or, like stages, by its name."""
    names = [str(item.get("name")) if isinstance(item, dict) else "" for item in items]
    if part in names:
        return str(names.index(part))
    if part.isdigit() and int(part) < len(items):
        return part
    choices = f"Choices: {', '.join(names)}." if any(names) else f"It has {len(items)} items, counted from 0."
    raise UserError(f"--set {override}: the list has no item {part!r}. {choices}")
