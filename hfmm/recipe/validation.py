"""Strict, frozen settings read from a file, with errors that name the key, its line and the nearest right key."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hfmm.errors import UserError


class StrictModel(BaseModel):
    """Base of every settings class: unknown keys are errors, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


StrictModelT = TypeVar("StrictModelT", bound=BaseModel)

# Where each dotted key was written: "vit_icons.yaml, line 7" or "--set data.seed=1".
KeyLocations = Mapping[str, str]


def validate(
    kind: type[StrictModelT], values: Mapping[str, Any], origins: KeyLocations, prefix: str = ""
) -> StrictModelT:
    """Return ``kind`` made from ``values``; raises UserError that lists every wrong key with its origin.

    ``prefix`` is the dotted path at which ``values`` stand in the recipe.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(kind, details, origins, prefix) for details in error.errors()]
        raise UserError("\n".join(dict.fromkeys(lines))) from None


def _explain(kind: type[BaseModel], details: Any, origins: KeyLocations, prefix: str) -> str:
    # Members of a union appear in the location as their type's name; they are not keys of the file.
    location = [str(part) for part in details["loc"] if not _names_a_union_member(part)]
    dotted = ".".join(filter(None, [prefix, *location]))
    where = f"{_origin(dotted, origins)}: "
    match details["type"]:
        case "extra_forbidden":
            known = _keys_at(kind, location[:-1])
            close = get_close_matches(location[-1], known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(known)}."
            return f"{where}unknown key {dotted!r}. {hint}"
        case "missing":
            return f"{where}the key {dotted!r} is missing."
        case _:
            message = details["msg"].removeprefix("Value error, ")
            return f"{where}{dotted!r} is {details['input']!r}: {message[0].lower()}{message[1:]}."


def _names_a_union_member(part: Any) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"str", "int", "float", "bool", "dict"})


def _origin(dotted: str, origins: KeyLocations) -> str:
    below = [origin for key, origin in origins.items() if key.startswith(f"{dotted}.")]
    while dotted and dotted not in origins and not below:
        dotted = dotted.rpartition(".")[0]
    return origins.get(dotted, below[0] if below else "recipe")


def _keys_at(kind: type[BaseModel], location: list[str]) -> list[str]:
    for part in location:
        if part.isdigit():
            continue
        annotation: Any = kind.model_fields[part].annotation
        nested = [annotation, *getattr(annotation, "__args__", ())]
        kind = next(one for one in nested if isinstance(one, type) and issubclass(one, BaseModel))
    return list(kind.model_fields)
