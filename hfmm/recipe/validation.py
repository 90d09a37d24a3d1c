"""Strict, immutable settings, with error messages that name the key, its file and line, and the closest valid key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hfmm.errors import UserError, did_you_mean


class StrictModel(BaseModel):
    """Base of all settings classes. Unknown keys are errors, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


StrictModelT = TypeVar("StrictModelT", bound=BaseModel)

# Maps each dotted key to where it was set: "vit_icons.yaml, line 7" or "--set data.seed=1".
KeyLocations = Mapping[str, str]


def validate(
    kind: type[StrictModelT], values: Mapping[str, Any], key_locations: KeyLocations, prefix: str = ""
) -> StrictModelT:
    """Return an instance of a settings class.

    Args:
        kind: The settings class.
        values: Its fields.
        key_locations: Maps each dotted key to where it was set, for error messages.
        prefix: The dotted key of ``values`` in the recipe.

    Returns:
        The validated settings.

    Raises:
        UserError: A key or value is invalid. The message lists all of them with their locations.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(kind, details, key_locations, prefix) for details in error.errors()]
        raise UserError("\n".join(dict.fromkeys(lines))) from None


def _explain(kind: type[BaseModel], details: Any, key_locations: KeyLocations, prefix: str) -> str:
    # pydantic puts the type names of union members into the path. They are not keys of the file.
    path = [str(part) for part in details["loc"] if not _is_union_member(part)]
    key = ".".join(filter(None, [prefix, *path]))
    location = _find_location(key, key_locations)
    match details["type"]:
        case "extra_forbidden":
            valid_keys = _valid_keys(kind, path[:-1])
            hint = did_you_mean(path[-1], valid_keys) or f" Valid keys: {', '.join(valid_keys)}."
            return f"{location}: unknown key {key!r}.{hint}"
        case "missing":
            return f"{location}: the key {key!r} is missing."
        case _:
            message = details["msg"].removeprefix("Value error, ")
            return f"{location}: {key!r} is {details['input']!r}: {message[0].lower()}{message[1:]}."


def _is_union_member(part: Any) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"str", "int", "float", "bool", "dict"})


def _find_location(key: str, key_locations: KeyLocations) -> str:
    """Return the location of a key, or of its first child or closest parent if it was not set itself."""
    children = [location for child, location in key_locations.items() if child.startswith(f"{key}.")]
    while key and key not in key_locations and not children:
        key = key.rpartition(".")[0]
    return key_locations.get(key, children[0] if children else "recipe")


def _valid_keys(kind: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        if part.isdigit():
            continue
        annotation: Any = kind.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        kind = next(
            candidate for candidate in candidates if isinstance(candidate, type) and issubclass(candidate, BaseModel)
        )
    return list(kind.model_fields)
