"""Changing nested settings from the command line: `--set a.b=value`."""

from __future__ import annotations

from typing import Any

import yaml

from hfmm.errors import UserError


def apply_override(values: dict[str, Any], origins: dict[str, str], override: str) -> None:
    """Put ``a.b=value`` into nested ``values`` and note where it came from; the value is read as YAML.

    Items of a list are reached by number or by their name, as in ``stages.head.num_train_epochs=2``. Raises
    UserError for text without an equals sign and for a path that leads nowhere.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: write it as key=value, for example --set model.checkpoint=my/model.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    here: Any = values
    parts = key.split(".")
    path: list[str] = []
    for part in parts[:-1]:
        here, step = _descend(here, part, override)
        path.append(step)
    if isinstance(here, list):
        here[int(_index(here, parts[-1], override))] = value
        path.append(_index(here, parts[-1], override))
    elif isinstance(here, dict):
        if parts[-1] == "builder" and here.get("builder") != value:
            here.clear()
        here[parts[-1]] = value
        path.append(parts[-1])
    else:
        raise UserError(f"--set {override}: {'.'.join(parts[:-1])!r} is a single value, it has no keys.")
    origins[".".join(path)] = f"--set {override}"


def _descend(here: Any, part: str, override: str) -> tuple[Any, str]:
    if isinstance(here, list):
        index = _index(here, part, override)
        return here[int(index)], index
    if isinstance(here, dict):
        return here.setdefault(part, {}), part
    raise UserError(f"--set {override}: there is no key {part!r} to go into.")


def _index(items: list[Any], part: str, override: str) -> str:
    """Return the index of a list item given by number or, as stages are, by its name."""
    names = [str(item.get("name")) if isinstance(item, dict) else "" for item in items]
    if part in names:
        return str(names.index(part))
    if part.isdigit() and int(part) < len(items):
        return part
    raise UserError(
        f"--set {override}: no item {part!r} here; there are {', '.join(filter(None, names)) or len(items)}."
    )
